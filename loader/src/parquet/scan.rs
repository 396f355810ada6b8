//! A first look at a Parquet footer, before the decoder's: a walk over its Thrift that believes nothing.
//!
//! The decoder makes room for as many elements as a list says it has, and descends as deep as a schema goes; a forged footer
//! could take all memory or the stack, and neither can be contained. And it passes over the field that says that columns are
//! encrypted. Encoding: Thrift compact protocol; fields: `parquet.thrift` of the Parquet format.

use crate::Fault;

const DEEPEST_VALUE: usize = 32;
const DEEPEST_SCHEMA: usize = 100;

// `FileMetaData` and `SchemaElement`.
const SCHEMA: i64 = 2;
const ENCRYPTION_ALGORITHM: i64 = 8;
const NUM_CHILDREN: i64 = 5;

// Types of the compact protocol.
const TRUE: u8 = 1;
const FALSE: u8 = 2;
const I8: u8 = 3;
const I64: u8 = 6;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const MAP: u8 = 11;
const STRUCT: u8 = 12;
const UUID: u8 = 13;

/// Refuses a `footer` that is no Thrift, is nested beyond reason, or belongs to an encrypted file.
pub(super) fn scan(footer: &[u8]) -> Result<(), Fault> {
    let mut cursor = Cursor(footer);
    let mut encrypted = false;
    cursor
        .fields(|cursor, id, kind| {
            encrypted |= id == ENCRYPTION_ALGORITHM;
            if id == SCHEMA && kind == LIST { cursor.schema() } else { cursor.skip(kind, 0) }
        })
        .ok_or_else(|| Fault::Parquet("its footer can't be decoded".into()))?;
    if encrypted { Err(Fault::Encrypted) } else { Ok(()) }
}

/// What is left of the footer. Every step returns nothing where it is not what it says.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn octet(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn pass(&mut self, count: u64) -> Option<()> {
        self.0 = self.0.get(usize::try_from(count).ok()?..)?;
        Some(())
    }

    fn unsigned(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let octet = self.octet()?;
            number |= u64::from(octet & 0x7f) << shift;
            if octet & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn signed(&mut self) -> Option<i64> {
        let number = self.unsigned()?;
        Some((number >> 1).cast_signed() ^ -((number & 1).cast_signed()))
    }

    /// A struct: `each` passes over the field of an id and a type.
    fn fields(&mut self, mut each: impl FnMut(&mut Self, i64, u8) -> Option<()>) -> Option<()> {
        let mut id = 0_i64;
        loop {
            let head = self.octet()?;
            if head == 0 {
                return Some(());
            }
            id = if head >> 4 == 0 { self.signed()? } else { id.checked_add(i64::from(head >> 4))? };
            each(self, id, head & 0x0f)?;
        }
    }

    /// A list's length, which its octets can hold, and its elements' type.
    fn list(&mut self) -> Option<(u64, u8)> {
        let head = self.octet()?;
        let len = if head >> 4 == 15 { self.unsigned()? } else { u64::from(head >> 4) };
        (len <= self.0.len() as u64).then_some((len, head & 0x0f))
    }

    /// The list of schema elements: a tree, written as each node with its number of children before them.
    fn schema(&mut self) -> Option<()> {
        let (len, kind) = self.list()?;
        if kind != STRUCT {
            return None;
        }
        // How many children are still to come at each depth.
        let mut open: Vec<i64> = Vec::new();
        for _ in 0..len {
            let mut children = 0;
            self.fields(|cursor, id, kind| {
                if id == NUM_CHILDREN && (I8..=I64).contains(&kind) && kind != I8 {
                    children = cursor.signed()?;
                    return Some(());
                }
                cursor.skip(kind, 0)
            })?;
            if let Some(left) = open.last_mut() {
                *left -= 1;
            }
            if children > 0 {
                open.push(children);
            }
            while open.last() == Some(&0) {
                open.pop();
            }
            if open.len() > DEEPEST_SCHEMA {
                return None;
            }
        }
        Some(())
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Option<()> {
        if depth > DEEPEST_VALUE {
            return None;
        }
        match kind {
            TRUE | FALSE => Some(()),
            I8 => self.pass(1),
            4..=I64 => self.unsigned().map(drop),
            DOUBLE => self.pass(8),
            BINARY => self.unsigned().and_then(|len| self.pass(len)),
            UUID => self.pass(16),
            STRUCT => self.fields(|cursor, _, kind| cursor.skip(kind, depth + 1)),
            LIST | SET => {
                let (len, kind) = self.list()?;
                (0..len).try_for_each(|_| self.element(kind, depth + 1))
            }
            MAP => {
                let len = self.unsigned()?;
                let kinds = if len > 0 { self.octet()? } else { 0 };
                (0..len).try_for_each(|_| {
                    self.element(kinds >> 4, depth + 1)?;
                    self.element(kinds & 0x0f, depth + 1)
                })
            }
            _ => None,
        }
    }

    /// A value outside a struct, where a truth value has an octet of its own.
    fn element(&mut self, kind: u8, depth: usize) -> Option<()> {
        if matches!(kind, TRUE | FALSE) { self.pass(1) } else { self.skip(kind, depth) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forged_footer_is_refused() {
        let deep_schema = {
            // One field, the schema: a list of 200 structs, each with one child.
            let mut footer = vec![0x29, 0xfc, 0xc8, 0x01];
            footer.extend([0x55, 0x02, 0x00].repeat(200));
            footer.push(0);
            footer
        };
        let cases: &[(&str, Vec<u8>)] = &[
            ("nothing", vec![]),
            ("no end", vec![0x15, 0x02]),
            ("a list longer than the footer", vec![0x49, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x07, 0x00]),
            ("lists in lists", [0x19; 100].to_vec()),
            ("a deep schema", deep_schema),
        ];
        for (name, footer) in cases {
            assert!(matches!(scan(footer), Err(Fault::Parquet(_))), "{name}");
        }
        assert!(scan(&[0x15, 0x02, 0x00]).is_ok(), "one integer");
        assert!(matches!(scan(&[0x8c, 0x00, 0x00]), Err(Fault::Encrypted)));
    }
}
