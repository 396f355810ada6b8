//! Least, middle and most of a figure over several runs.

use std::fmt;

/// Figures of several runs, in order.
#[derive(Clone, Debug)]
pub struct Spread(Vec<f64>);

impl Spread {
    /// Of these.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Spread {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        Spread(values)
    }

    pub fn least(&self) -> f64 {
        self.0.first().copied().unwrap_or(f64::NAN)
    }

    /// The middle one, and of two middle ones their mean.
    pub fn median(&self) -> f64 {
        let (half, count) = (self.0.len() / 2, self.0.len());
        match count {
            0 => f64::NAN,
            _ if count % 2 == 1 => self.0[half],
            _ => f64::midpoint(self.0[half - 1], self.0[half]),
        }
    }

    pub fn most(&self) -> f64 {
        self.0.last().copied().unwrap_or(f64::NAN)
    }
}

/// `median (least–most)`, or the one figure there is.
impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = match self.median().abs() {
            size if size < 10.0 => 2,
            size if size < 100.0 => 1,
            _ => 0,
        };
        write!(f, "{:.places$}", self.median())?;
        if self.0.len() > 1 {
            write!(f, " ({:.places$}–{:.places$})", self.least(), self.most())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_few_and_many() {
        for (values, shown) in [
            (vec![], "NaN"),
            (vec![1834.4], "1834"),
            (vec![3.0, 1.0], "2.00 (1.00–3.00)"),
            (vec![30.0, 10.0, 20.0], "20.0 (10.0–30.0)"),
        ] {
            assert_eq!(Spread::of(values.clone()).to_string(), shown, "{values:?}");
        }
    }
}
