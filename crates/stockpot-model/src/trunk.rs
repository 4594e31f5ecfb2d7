//! The trunk: one decoder for many people, told by a few numbers whom to draw.
//!
//! Those numbers, a person's *identity*, follow the code at the decoder's input and reach nothing
//! but its first dense layer. There one person's identity is a constant, so it folds into the bias:
//! what comes out is an ordinary decoder in the layout of every other ([`Trunk::person`]). A trunk
//! learned from many people is what new persons start from.
//!
//! Only comb networks have one. Start with [`Trunk`].

use std::sync::Arc;

use crate::comb;
use crate::family::{Family, Kind};
use crate::graph::Graph;
use crate::network::Network;
use crate::params::Params;

/// Name of the array that the identity is folded into.
const FIRST_WEIGHT: &str = "decoder.seed.weight";
/// Its bias.
const FIRST_BIAS: &str = "decoder.seed.bias";

/// The decoder of a family that draws many people.
#[derive(Debug, Clone)]
pub struct Trunk {
    network: Network,
    graph: Arc<Graph>,
    identity: usize,
}

impl Trunk {
    /// The trunk of a family with identities of `identity` numbers; none for a family without one.
    pub fn new(family: Family, identity: usize) -> Option<Self> {
        let Kind::Comb(size) = family.kind() else {
            return None;
        };
        Some(Self {
            network: Network::new(family),
            graph: Arc::new(comb::trunk(size, family.resolution(), identity)),
            identity,
        })
    }

    /// `[1, 1, code + identity]` to `[R, R, 4]`.
    pub fn graph(&self) -> &Arc<Graph> {
        &self.graph
    }

    /// Both halves of the family's ordinary network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Numbers of an identity.
    pub fn identity_len(&self) -> usize {
        self.identity
    }

    /// Fresh weights.
    pub fn init(&self, seed: u64) -> Params {
        Params::init(self.graph.layout.clone(), seed)
    }

    /// The ordinary decoder that draws what the trunk draws for this identity: the first layer
    /// loses the rows of the identity, and their product with it joins the bias. `None` if the
    /// lengths do not fit.
    pub fn person(&self, trunk: &Params, identity: &[f32]) -> Option<Params> {
        let layout = self.network.decoder_layout();
        if trunk.layout() != &self.graph.layout || identity.len() != self.identity {
            return None;
        }
        let mut data = Vec::with_capacity(layout.len());
        for spec in layout.specs() {
            let source = trunk.array(&spec.name)?;
            let from = data.len();
            data.extend_from_slice(&source[..spec.len()]);
            if spec.name != FIRST_BIAS {
                continue;
            }
            let rows = trunk.array(FIRST_WEIGHT)?;
            let bias = &mut data[from..];
            let rows = rows[rows.len() - identity.len() * bias.len()..].chunks_exact(bias.len());
            for (value, row) in identity.iter().zip(rows) {
                bias.iter_mut().zip(row).for_each(|(b, w)| *b += value * w);
            }
        }
        Params::from_data(layout.clone(), data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;

    /// The folded decoder draws what the trunk draws, and another identity draws something else.
    #[test]
    fn a_person_is_the_trunk_with_another_bias() {
        let family = Family::COMB[0];
        let trunk = Trunk::new(family, 5).unwrap();
        let params = trunk.init(3);
        let code: Vec<f32> = (0..384).map(|i| (i as f32 * 0.7).sin()).collect();
        let draw = |identity: &[f32]| {
            let mut whole = Plan::inference(trunk.graph().clone(), 1);
            whole.load(&params);
            let told: Vec<f32> = code.iter().chain(identity).copied().collect();
            let wanted = whole.forward(&told).to_vec();
            let mut folded = Plan::inference(trunk.network().decoder().clone(), 1);
            folded.load(&trunk.person(&params, identity).unwrap());
            let found = folded.forward(&code).to_vec();
            for (a, b) in wanted.iter().zip(&found) {
                assert!((a - b).abs() < 1e-4, "{a} {b}");
            }
            wanted
        };
        let one = draw(&[0.5, -1.0, 0.25, 2.0, 0.0]);
        let other = draw(&[-1.5, 1.0, 0.25, 0.0, 3.0]);
        let apart = one.iter().zip(&other).map(|(a, b)| (a - b).abs());
        assert!(apart.fold(0.0, f32::max) > 0.01);
        assert!(trunk.person(&params, &[0.0; 4]).is_none());
        assert!(Trunk::new(Family::CLASSIC, 5).is_none());
    }
}
