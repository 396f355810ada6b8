//! The column families' names.

/// Column families.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// The format's number and who the engine is.
    Engine,
    /// Wrapped keys.
    Key,
    /// Manifests.
    Run,
    /// How rows ended.
    Outcome,
    /// Rows that wait for a time.
    Deferred,
    /// Rows that wait for their turn: taken up again, or too many for memory.
    Backlog,
    /// Rows that may be sent or were begun.
    Lease,
    /// Keys that are taken: once per key.
    Sent,
    /// What domains and hosts have shown of TLS.
    Tls,
    /// How sessions travelled.
    Session,
    /// How fast providers may be sent to.
    Provider,
}

impl Family {
    /// All of them. `engine` comes first: it is made first, and a store without it is of format 1.
    pub(super) const ALL: [Family; 11] = [
        Family::Engine,
        Family::Key,
        Family::Run,
        Family::Outcome,
        Family::Deferred,
        Family::Backlog,
        Family::Lease,
        Family::Sent,
        Family::Tls,
        Family::Session,
        Family::Provider,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Family::Engine => "engine",
            Family::Key => "key",
            Family::Run => "run",
            Family::Outcome => "outcome",
            Family::Deferred => "deferred",
            Family::Backlog => "backlog",
            Family::Lease => "lease",
            Family::Sent => "sent",
            Family::Tls => "tls",
            Family::Session => "session",
            Family::Provider => "provider",
        }
    }
}
