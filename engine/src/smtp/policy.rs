//! What a session is opened for.

use super::Access;
use crate::mail::{Demand, MxTrust, Tlsa};
use crate::shaping::ReplyPattern;
use std::sync::Arc;

/// What a session is opened for.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Our name.
    pub ehlo: String,
    /// What must hold before MAIL FROM.
    pub demand: Demand,
    /// What the host's TLSA records say; the demand is raised by it already.
    pub tlsa: Tlsa,
    /// How it is known that the domain's mail goes to the host.
    pub mx_trust: MxTrust,
    /// Don't try STARTTLS: it failed here before and is not demanded.
    pub avoid_tls: bool,
    /// Find out whether the certificate proves the host's name to a root, even where that is not demanded: for a report alone.
    pub looked_at: bool,
    /// The server lost its step in a pipeline before: it is given one message after the other, each by DATA.
    pub careful: bool,
    /// What the server asks of us.
    pub access: Access,
    /// What it means by words of its own.
    pub replies: Arc<[ReplyPattern]>,
}
