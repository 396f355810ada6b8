//! What takes the library's place where it was not there at build time: nothing.

use crate::{Absent, Key, Number};
use std::convert::Infallible;

/// The library; nobody has one here.
#[derive(Clone, Copy, Debug)]
pub struct Library(Infallible);

impl Library {
    /// There is none.
    ///
    /// # Errors
    /// Always.
    pub fn open() -> Result<Library, Absent> {
        Err(Absent::Build)
    }

    /// Which one it is.
    pub fn version(self) -> String {
        match self.0 {}
    }

    /// Raises each number to its key's private exponent.
    pub fn private(self, _: &[(&Key, &Number)]) -> Vec<Option<Number>> {
        match self.0 {}
    }

    /// Raises each number to its key's public exponent.
    pub fn public(self, _: &[(&Key, &Number)]) -> Vec<Option<Number>> {
        match self.0 {}
    }
}
