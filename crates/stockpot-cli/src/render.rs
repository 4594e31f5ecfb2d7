//! A result as text for people: pairs of name and value, tables for lists of like things.
//!
//! Works on any serialised reply, in the order its fields were declared, so that a job's reply
//! needs no second wording here. A unit at the end of a field's name (`_secs`, `_bytes`, `_px`, …)
//! moves behind the value. Start with [`text`].

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// A serialised reply, with its fields in their order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Data {
    Nothing,
    Truth(bool),
    Whole(i128),
    Real(f64),
    Text(String),
    List(Vec<Data>),
    Fields(Vec<(String, Data)>),
}

/// The whole reply, ending in a line feed unless there is nothing to say.
pub(crate) fn text(data: &Data) -> String {
    let mut out = String::new();
    match data {
        Data::Fields(fields) => pairs(&mut out, fields, 0),
        Data::List(items) if !items.is_empty() => list(&mut out, items, 0),
        Data::Nothing => {}
        other => line(&mut out, 0, &scalar("", other)),
    }
    out
}

fn pairs(out: &mut String, fields: &[(String, Data)], depth: usize) {
    let shown: Vec<_> = fields.iter().filter(|(_, v)| *v != Data::Nothing).collect();
    let width = shown
        .iter()
        .filter(|(_, value)| is_plain(value))
        .map(|(name, _)| label(name).chars().count())
        .max()
        .unwrap_or(0);
    for (name, value) in shown {
        let label = label(name);
        match value {
            Data::List(items) if items.iter().any(|i| !is_plain(i) || is_sentence(i)) => {
                line(out, depth, &label);
                list(out, items, depth + 1);
            }
            Data::Fields(inner) => {
                line(out, depth, &label);
                pairs(out, inner, depth + 1);
            }
            plain => line(
                out,
                depth,
                &format!("{label:width$}  {}", scalar(name, plain)),
            ),
        }
    }
}

fn list(out: &mut String, items: &[Data], depth: usize) {
    match columns(items) {
        Some(names) if !names.is_empty() => table(out, items, &names, depth),
        _ => {
            for item in items {
                match item {
                    Data::Fields(fields) => {
                        pairs(out, fields, depth);
                        out.push('\n');
                    }
                    Data::List(inner) => list(out, inner, depth + 1),
                    plain => line(out, depth, &scalar("", plain)),
                }
            }
        }
    }
}

/// The columns of a table, if the items are flat: every name that some item has a value for.
fn columns(items: &[Data]) -> Option<Vec<&str>> {
    let mut names: Vec<&str> = Vec::new();
    for item in items {
        let Data::Fields(fields) = item else {
            return None;
        };
        for (name, value) in fields {
            if !is_plain(value) {
                return None;
            }
            if *value != Data::Nothing && !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
    }
    Some(names)
}

fn table(out: &mut String, items: &[Data], names: &[&str], depth: usize) {
    let head = names.iter().map(|name| label(name)).collect();
    let mut rows: Vec<Vec<String>> = vec![head];
    for item in items {
        let Data::Fields(fields) = item else { continue };
        let cell = |name: &&str| {
            let found = fields.iter().find(|(field, _)| field == name);
            found.map_or_else(String::new, |(field, value)| scalar(field, value))
        };
        rows.push(names.iter().map(cell).collect());
    }
    let widths: Vec<usize> = (0..names.len())
        .map(|c| rows.iter().map(|r| r[c].chars().count()).max().unwrap_or(0))
        .collect();
    for row in rows {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        line(out, depth, cells.join("  ").trim_end());
    }
}

fn line(out: &mut String, depth: usize, text: &str) {
    out.push_str(&"  ".repeat(depth));
    out.push_str(text.trim_end());
    out.push('\n');
}

/// Whether a value fits on a line: no fields, and no list of things with fields.
fn is_plain(data: &Data) -> bool {
    match data {
        Data::Fields(_) => false,
        Data::List(items) => items
            .iter()
            .all(|item| !matches!(item, Data::Fields(_) | Data::List(_))),
        _ => true,
    }
}

/// Whether a text is too long to stand in a row with others.
fn is_sentence(data: &Data) -> bool {
    const LONGEST_IN_A_ROW: usize = 40;
    matches!(data, Data::Text(text) if text.chars().count() > LONGEST_IN_A_ROW && !is_hash(text))
}

/// Ends of field names that are units, with what stands behind the value instead.
const UNITS: [(&str, &str); 8] = [
    ("_secs", " s"),
    ("_minutes", " min"),
    ("_ms", " ms"),
    ("_bytes", ""),
    ("_px", " px"),
    ("_deg", "°"),
    ("_rad", " rad"),
    ("_percent", " %"),
];

fn label(name: &str) -> String {
    let unit = UNITS.iter().find_map(|(end, _)| name.strip_suffix(end));
    unit.unwrap_or(name).replace('_', " ")
}

fn scalar(name: &str, data: &Data) -> String {
    let unit = UNITS.iter().find(|(end, _)| name.ends_with(end));
    let behind = unit.map_or("", |(_, behind)| *behind);
    match data {
        Data::Nothing => String::new(),
        Data::Truth(true) => "yes".to_owned(),
        Data::Truth(false) => "no".to_owned(),
        Data::Whole(bytes) if name.ends_with("_bytes") => size(*bytes),
        Data::Whole(secs) if name.ends_with("_secs") && *secs >= FIRST_DATE_SECS => moment(*secs),
        Data::Whole(number) => format!("{number}{behind}"),
        Data::Real(number) => format!("{}{behind}", short(*number)),
        Data::Text(text) if is_hash(text) => text[..HASH_SHOWN].to_owned(),
        Data::Text(text) => text.clone(),
        Data::List(items) if items.is_empty() => "none".to_owned(),
        Data::List(items) => {
            let parts: Vec<String> = items.iter().map(|item| scalar(name, item)).collect();
            parts.join(", ")
        }
        Data::Fields(_) => String::new(),
    }
}

/// Seconds from here on are a moment since 1970, not a duration: it is more than 31 years.
const FIRST_DATE_SECS: i128 = 1_000_000_000;

/// A moment as `2026-11-22 18:30 UTC`.
fn moment(secs: i128) -> String {
    let (days, rest) = (secs / 86_400, secs % 86_400);
    // Days to date in the Gregorian calendar, counted from 1 March of year 0 so that the leap day
    // comes last in its year. 146,097 days are 400 years.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let from_march = (5 * day + 2) / 153;
    let day = day - (153 * from_march + 2) / 5 + 1;
    let month = (from_march + 2) % 12 + 1;
    let year = era * 400 + year + i128::from(month <= 2);
    let (hours, minutes) = (rest / 3600, rest / 60 % 60);
    format!("{year}-{month:02}-{day:02} {hours:02}:{minutes:02} UTC")
}

/// Digits of a hash that people need; `stockpot library show` takes them.
const HASH_SHOWN: usize = 12;

fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Four digits that matter; more would suggest a precision nobody has.
fn short(number: f64) -> String {
    let magnitude = number.abs();
    if magnitude >= 1000.0 {
        format!("{number:.0}")
    } else if magnitude >= 100.0 {
        format!("{number:.1}")
    } else if magnitude >= 10.0 {
        format!("{number:.2}")
    } else if magnitude >= 0.001 || magnitude == 0.0 {
        format!("{number:.4}")
    } else {
        format!("{number:.2e}")
    }
}

fn size(bytes: i128) -> String {
    const NAMES: [&str; 5] = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut name = NAMES[0];
    for larger in &NAMES[1..] {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        name = larger;
    }
    if name == NAMES[0] {
        format!("{bytes} {name}")
    } else {
        format!("{value:.1} {name}")
    }
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DataVisitor)
    }
}

struct DataVisitor;

impl<'de> Visitor<'de> for DataVisitor {
    type Value = Data;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }
    fn visit_unit<E>(self) -> Result<Data, E> {
        Ok(Data::Nothing)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Data, E> {
        Ok(Data::Truth(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Data, E> {
        Ok(Data::Whole(value.into()))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Data, E> {
        Ok(Data::Whole(value.into()))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Data, E> {
        Ok(Data::Real(value))
    }
    fn visit_str<E>(self, value: &str) -> Result<Data, E> {
        Ok(Data::Text(value.to_owned()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Data, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Data::List(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Data, A::Error> {
        let mut fields = Vec::new();
        while let Some(entry) = map.next_entry()? {
            fields.push(entry);
        }
        Ok(Data::Fields(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(json: &str) -> String {
        text(&serde_json::from_str(json).unwrap())
    }

    #[test]
    fn pairs_keep_their_order_and_units_move_behind() {
        let json = r#"{"output":"a.mp4","frames":240,"wall_secs":12.345,"file_bytes":1572864,
            "frames_per_sec":19.5,"kept":true,"note":null,"persons":["a","b"]}"#;
        assert_eq!(
            shown(json),
            "output          a.mp4\nframes          240\nwall            12.35 s\n\
             file            1.5 MiB\nframes per sec  19.50\nkept            yes\n\
             persons         a, b\n"
        );
    }

    #[test]
    fn like_things_become_a_table() {
        let json = r#"{"library":"x","persons":[{"name":"a","faces":12,"hash":null},
            {"name":"berta","faces":3}]}"#;
        assert_eq!(
            shown(json),
            "library  x\npersons\n  name   faces\n  a      12\n  berta  3\n"
        );
    }

    #[test]
    fn nested_and_empty_things_are_told() {
        assert_eq!(shown(r#"{"run":{"steps":5}}"#), "run\n  steps  5\n");
        assert_eq!(shown("[]"), "none\n");
        assert_eq!(shown("{}"), "");
        assert_eq!(shown("null"), "");
        assert_eq!(shown("\"done\""), "done\n");
        assert_eq!(shown(r#"{"persons":[]}"#), "persons  none\n");
        let advice = r#"{"advice":["Film a minute or more: talking, laughing, turning.","b"]}"#;
        assert_eq!(
            shown(advice),
            "advice\n  Film a minute or more: talking, laughing, turning.\n  b\n"
        );
        let odd = r#"[{"a":1,"b":{"c":2}},{"a":3}]"#;
        assert_eq!(shown(odd), "a  1\nb\n  c  2\n\na  3\n\n");
    }

    #[test]
    fn moments_are_dates_and_hashes_are_short() {
        // 2000-02-29 12:34:56, 2026-11-22 18:30:00 and 2100-03-01 00:00:00, by `date -d … +%s`.
        assert_eq!(moment(951_827_696), "2000-02-29 12:34 UTC");
        assert_eq!(moment(1_795_372_200), "2026-11-22 18:30 UTC");
        assert_eq!(moment(4_107_542_400), "2100-03-01 00:00 UTC");
        let hash = "0123456789abcdef".repeat(4);
        let json = format!(r#"{{"created_secs":1795372200,"object":"{hash}"}}"#);
        assert_eq!(
            shown(&json),
            "created  2026-11-22 18:30 UTC\nobject   0123456789ab\n"
        );
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(short(0.0), "0.0000");
        assert_eq!(short(0.81234), "0.8123");
        assert_eq!(short(-23.456), "-23.46");
        assert_eq!(short(12345.6), "12346");
        assert_eq!(short(0.00001234), "1.23e-5");
        assert_eq!(size(1023), "1023 bytes");
        assert_eq!(size(1024), "1.0 KiB");
        assert_eq!(size(3 << 40), "3.0 TiB");
    }
}
