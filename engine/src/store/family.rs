//! The column families' names.

/// Column families.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Wrapped keys.
    Key,
    /// Manifests.
    Run,
    /// How rows ended.
    Outcome,
    /// Rows that wait for a time.
    Deferred,
    /// Rows taken up again.
    Backlog,
    /// `started` marks.
    Lease,
}

impl Family {
    pub(super) const ALL: [Family; 6] =
        [Family::Key, Family::Run, Family::Outcome, Family::Deferred, Family::Backlog, Family::Lease];

    pub(super) fn name(self) -> &'static str {
        match self {
            Family::Key => "key",
            Family::Run => "run",
            Family::Outcome => "outcome",
            Family::Deferred => "deferred",
            Family::Backlog => "backlog",
            Family::Lease => "lease",
        }
    }
}
