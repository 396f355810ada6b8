//! How many messages a day.

/// Caps of the first days, each for one provider from one address; what comes after them is bounded by nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    name: String,
    caps: Vec<u32>,
}

/// Caps that warm nothing up; the index is that of the first at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// There is no day in it.
    #[error("has no caps")]
    Empty,
    /// A day on which nothing is sent.
    #[error("has a day without a message: caps are at least 1")]
    Zero(usize),
    /// A day with fewer messages than the one before.
    #[error("falls from one day to the next: what grows is what receivers learn to trust")]
    Falls(usize),
}

impl Schedule {
    /// One by this name.
    ///
    /// # Errors
    /// It is empty, zero or falls somewhere.
    pub fn new(name: &str, caps: Vec<u32>) -> Result<Schedule, Unfit> {
        if caps.is_empty() {
            return Err(Unfit::Empty);
        }
        if let Some(at) = caps.iter().position(|cap| *cap == 0) {
            return Err(Unfit::Zero(at));
        }
        match caps.windows(2).position(|pair| pair[1] < pair[0]) {
            Some(before) => Err(Unfit::Falls(before + 1)),
            None => Ok(Schedule { name: name.to_owned(), caps }),
        }
    }

    /// Its name in configuration.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many days it has.
    pub fn days(&self) -> usize {
        self.caps.len()
    }

    /// The cap of the `number`-th day, from 1; `None` once it is over.
    pub fn cap(&self, number: u32) -> Option<u32> {
        // A day before the first is none on which more may be sent.
        let index = usize::try_from(number.saturating_sub(1)).unwrap_or(usize::MAX);
        self.caps.get(index).copied()
    }
}
