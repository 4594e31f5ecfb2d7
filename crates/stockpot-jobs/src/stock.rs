//! The stock that is shipped: what a new library's first training starts from.
//!
//! An encoder and a decoder of everybody, learned from made-up people by `stockpot stock make`; the
//! file is part of the program, so nothing has to be fetched. `docs/formats/stock.md` has the format
//! and `crates/stockpot-jobs/stock/README.md` the card.

use stockpot_model::{Family, Stock};

use crate::error::JobError;

/// The shipped files by network.
const SHIPPED: [(&str, &[u8]); 2] = [
    ("comb-s-96", include_bytes!("../stock/comb-s-96.stock")),
    ("comb-s-128", include_bytes!("../stock/comb-s-128.stock")),
];

/// The shipped stock of a family; none for a family without one.
///
/// # Errors
/// If the file in the program is damaged.
pub fn shipped(family: Family) -> Result<Option<Stock>, JobError> {
    let name = family.to_string();
    let found = SHIPPED.iter().find(|(of, _)| *of == name);
    let stock = found.map(|(_, bytes)| Stock::from_bytes(bytes));
    Ok(stock.transpose()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shipped_can_be_read_and_is_for_the_usual_network() {
        let stock = shipped(Family::DEFAULT).unwrap().unwrap();
        assert_eq!(stock.family(), Family::DEFAULT);
        assert!(stock.people() >= 100);
        assert!(stock.person(&stock.mean_identity()).is_some());
        assert!(shipped(Family::CLASSIC).unwrap().is_none());
        assert!(shipped(Family::COMB[0]).unwrap().is_none());
        let card = include_str!("../stock/README.md");
        for (name, bytes) in SHIPPED {
            let hash = stockpot_library::hash_of(bytes);
            let line = format!("{hash}  {name}.stock\n");
            assert!(card.contains(&line), "the card lacks {line}");
            let family: Family = name.parse().unwrap();
            assert_eq!(Stock::from_bytes(bytes).unwrap().family(), family);
        }
    }
}
