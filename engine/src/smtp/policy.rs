//! What a session is opened for.

use super::Access;
use crate::mail::Demand;

/// What a session is opened for.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Our name.
    pub ehlo: String,
    /// What must hold before MAIL FROM.
    pub demand: Demand,
    /// Drop where STARTTLS is missing.
    pub exclusive: bool,
    /// Don't try STARTTLS: it failed here before and is not demanded.
    pub avoid_tls: bool,
    /// What the server asks of us.
    pub access: Access,
}
