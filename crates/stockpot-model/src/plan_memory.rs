//! Which buffer of a plan each activation and gradient lies in: those that are never needed at the
//! same time share one.
//!
//! A pure function of the graph. Time is counted in operators: node `i` runs forward at time `i`
//! and backward at time `2n - i`. Start with [`Memory::new`].

use std::ops::RangeInclusive;

use stockpot_kernels::Aligned;

use crate::graph::{Graph, NodeId, Op};
use crate::plan::source;

/// Where an activation or gradient lies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Place {
    slot: usize,
    /// Numbers.
    pub len: usize,
}

/// The buffers of a plan.
#[derive(Debug)]
pub(crate) struct Memory {
    slots: Vec<Aligned<f32>>,
    values: Vec<Place>,
    grads: Vec<Place>,
}

impl Memory {
    /// Room for every activation of `graph`, and for its gradients when `training`.
    /// `first_writer[i][k]` says whether node `i` is the first to write the gradient of its
    /// input `k`.
    pub(crate) fn new(
        graph: &Graph,
        batch: usize,
        training: bool,
        first_writer: &[Vec<bool>],
    ) -> Self {
        let n = graph.nodes.len();
        let owners = (0..n).filter(|i| graph.nodes[*i].op != Op::Reshape);
        let len = |i: usize| batch * graph.nodes[i].shape.len();
        let mut tensors: Vec<Tensor> = Vec::new();
        let (mut values, mut grads) = (vec![Place::default(); n], vec![Place::default(); n]);
        for i in owners.clone() {
            let life = life_of_value(graph, i, training);
            tensors.push(Tensor::new(life, len(i), Owner::Value(i)));
        }
        if training {
            for i in owners {
                // A sum's gradient goes on as that of one of its inputs.
                if heir_of(graph, first_writer, i).is_some() {
                    continue;
                }
                let mut tensor =
                    Tensor::new(birth_of_grad(graph, i)..=2 * n - i, len(i), Owner::Grad(i));
                if i == 0 {
                    tensor.life = *tensor.life.start()..=2 * n;
                }
                // Whoever hands its gradient over to this node lives in the same place.
                let mut at = i;
                while let Some(giver) = giver_of(graph, first_writer, at) {
                    tensor.life = birth_of_grad(graph, giver)..=*tensor.life.end();
                    tensor.givers.push(giver);
                    at = giver;
                }
                tensors.push(tensor);
            }
        }
        let sizes = share_out(&mut tensors);
        for tensor in &tensors {
            let place = Place {
                slot: tensor.slot,
                len: tensor.len,
            };
            match tensor.owner {
                Owner::Value(i) => values[i] = place,
                Owner::Grad(i) => {
                    grads[i] = place;
                    tensor.givers.iter().for_each(|giver| grads[*giver] = place);
                }
            }
        }
        Self {
            slots: sizes.into_iter().map(Aligned::zeros).collect(),
            values,
            grads,
        }
    }

    /// Bytes of all buffers.
    pub(crate) fn bytes(&self) -> usize {
        self.slots.iter().map(|slot| 4 * slot.len()).sum()
    }

    /// The activation of a node that is no reshape.
    pub(crate) fn value(&self, i: usize) -> &[f32] {
        let place = self.values[i];
        &self.slots[place.slot][..place.len]
    }

    /// Where the activation of a node lies.
    pub(crate) fn value_place(&self, i: usize) -> Place {
        self.values[i]
    }

    /// Where the gradient of a node lies.
    pub(crate) fn grad_place(&self, i: usize) -> Place {
        self.grads[i]
    }

    /// The numbers at a place.
    pub(crate) fn at(&self, place: Place) -> &[f32] {
        &self.slots[place.slot][..place.len]
    }

    /// Takes the buffer of a place out, to write it while others are read; to be put back.
    pub(crate) fn take(&mut self, place: Place) -> Aligned<f32> {
        std::mem::take(&mut self.slots[place.slot])
    }

    /// Puts back what [`Memory::take`] gave.
    pub(crate) fn put(&mut self, place: Place, buffer: Aligned<f32>) {
        self.slots[place.slot] = buffer;
    }
}

/// Input `k` of a sum that takes the sum's gradient over as it is: nobody wrote there before, and
/// nobody reads the sum's afterwards. The graph's own input does not: its gradient is not always
/// wanted.
pub(crate) fn heir_of(graph: &Graph, first_writer: &[Vec<bool>], i: usize) -> Option<usize> {
    let node = &graph.nodes[i];
    if node.op != Op::Add {
        return None;
    }
    let [a, b] = [0, 1].map(|k| source(graph, node.inputs[k]).0);
    (0..2).find(|k| a != b && [a, b][*k] != 0 && first_writer[i][*k])
}

/// The sum whose gradient node `i` takes over.
fn giver_of(graph: &Graph, first_writer: &[Vec<bool>], i: usize) -> Option<usize> {
    (i + 1..graph.nodes.len()).find(|giver| {
        let heir = heir_of(graph, first_writer, *giver);
        heir.is_some_and(|k| source(graph, graph.nodes[*giver].inputs[k]).0 == i)
    })
}

/// Nodes that read node `i`, reshapes passed through.
fn readers(graph: &Graph, i: usize) -> impl Iterator<Item = usize> {
    (i + 1..graph.nodes.len()).filter(move |j| {
        let node = &graph.nodes[*j];
        node.op != Op::Reshape && node.inputs.iter().any(|id| source(graph, *id).0 == i)
    })
}

/// From when to when a node's activation is needed.
fn life_of_value(graph: &Graph, i: usize, training: bool) -> RangeInclusive<usize> {
    let n = graph.nodes.len();
    if source(graph, NodeId(n - 1)).0 == i {
        return i..=2 * n;
    }
    let forward = readers(graph, i).fold(i, |last, j| last.max(j));
    if !training {
        return i..=forward;
    }
    let reads_input = |op: &Op| match op {
        Op::Conv { .. } | Op::UpConv { .. } | Op::Dense { .. } | Op::RmsNorm => true,
        Op::Input
        | Op::SpaceToDepth
        | Op::DepthToSpace
        | Op::Reshape
        | Op::AverageDown
        | Op::Add
        | Op::Sigmoid => false,
    };
    let reads_output = match graph.nodes[i].op {
        Op::Conv { activation, .. }
        | Op::UpConv { activation, .. }
        | Op::Dense { activation, .. } => activation.slope() != 1.0,
        Op::Sigmoid => true,
        _ => false,
    };
    let own = if reads_output { 2 * n - i } else { i };
    // The first reader runs backward last.
    let first = readers(graph, i).find(|j| reads_input(&graph.nodes[*j].op));
    let backward = first.map_or(i, |j| 2 * n - j);
    i..=forward.max(own).max(backward)
}

/// When the gradient of a node is first written: as its last reader runs backward.
fn birth_of_grad(graph: &Graph, i: usize) -> usize {
    let n = graph.nodes.len();
    // The output's is written before anything runs backward.
    readers(graph, i).last().map_or(n, |j| 2 * n - j)
}

enum Owner {
    Value(usize),
    Grad(usize),
}

struct Tensor {
    life: RangeInclusive<usize>,
    len: usize,
    owner: Owner,
    givers: Vec<usize>,
    slot: usize,
}

impl Tensor {
    fn new(life: RangeInclusive<usize>, len: usize, owner: Owner) -> Self {
        Self {
            life,
            len,
            owner,
            givers: Vec::new(),
            slot: 0,
        }
    }
}

/// Gives every tensor a slot that nobody else uses at its time; returns the slots' lengths. The
/// longest go first, so that a slot is as long as its first and later ones fit in.
fn share_out(tensors: &mut [Tensor]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..tensors.len()).collect();
    order.sort_by_key(|t| std::cmp::Reverse(tensors[*t].len));
    let mut slots: Vec<(usize, Vec<RangeInclusive<usize>>)> = Vec::new();
    for t in order {
        let life = tensors[t].life.clone();
        let meets = |other: &RangeInclusive<usize>| {
            life.start() <= other.end() && other.start() <= life.end()
        };
        // The shortest that is free: the last, as lengths fall.
        let free = slots
            .iter()
            .rposition(|(_, lives)| !lives.iter().any(meets));
        let slot = free.unwrap_or_else(|| {
            slots.push((tensors[t].len, Vec::new()));
            slots.len() - 1
        });
        slots[slot].1.push(life.clone());
        tensors[t].slot = slot;
    }
    slots.into_iter().map(|slot| slot.0).collect()
}
