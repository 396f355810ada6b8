//! `[tls.reports]`: TLS reports (RFC 8460), who sends them.

use super::Error;
use super::machine::{Dkim, Fail};
use crate::mail::Address;
use crate::tlsrpt::Sender;
use serde::Deserialize;
use std::collections::BTreeMap;
use toml::Spanned;

/// `[tls.reports]`, as it was written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportsTable {
    /// Whether sessions are counted and reports sent.
    #[serde(default = "usual")]
    pub enabled: bool,
    /// `organization-name` in reports.
    pub organization: Spanned<String>,
    /// `contact-info` in reports.
    pub contact: Spanned<String>,
    /// Where mail with reports comes from.
    pub from: Spanned<String>,
}

/// Who writes the table wants reports.
fn usual() -> bool {
    true
}

/// Who sends reports, if anybody does.
pub(super) fn sender(
    table: Option<&ReportsTable>,
    dkim: &BTreeMap<String, Dkim>,
    fail: Fail<'_>,
) -> Result<Option<Sender>, Error> {
    let Some(table) = table.filter(|table| table.enabled) else { return Ok(None) };
    let from = &table.from;
    let text = |name: &str, text: &Spanned<String>| {
        let usable = !text.get_ref().trim().is_empty() && !text.get_ref().contains(char::is_control);
        let what = || fail(text.span().start, format!("[tls.reports] {name} is empty, or has control characters"));
        if usable { Ok(text.get_ref().trim().to_owned()) } else { Err(what()) }
    };
    let address = Address::parse(from.get_ref()).ok().filter(|address| address.as_str().is_ascii());
    let address = address.ok_or_else(|| {
        let what = format!("[tls.reports] from: \"{}\" is no address", from.get_ref());
        fail(from.span().start, what).hint("write it like \"tls-reports@your.domain\"")
    })?;
    if !dkim.contains_key(address.domain()) {
        let what = format!("[tls.reports] from: there is no signing key for {}", address.domain());
        return Err(fail(from.span().start, what).hint("reports must be signed: use a domain of [dkim]"));
    }
    let (organization, contact) = (text("organization", &table.organization)?, text("contact", &table.contact)?);
    Ok(Some(Sender { organization, contact, from: address }))
}
