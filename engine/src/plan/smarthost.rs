//! `[smarthost]`, checked and resolved: a relay that takes everything the DNS would otherwise be asked for.

use super::Error;
use super::file::{SmarthostTable, TlsStart};
use super::machine::{Fail, key_place};
use crate::mail::is_host_name;
use crate::resolve::{MxHost, Place};
use crate::secret::KeyPlace;
use crate::smtp::Identity;
use std::net::SocketAddr;
use std::path::Path;

/// A relay, and what it asks of us.
#[derive(Clone, Debug)]
pub struct Smarthost {
    /// Its name and where it is.
    pub host: MxHost,
    /// Whether TLS begins with the connection.
    pub implicit_tls: bool,
    /// Our user there, and where the password is.
    pub login: Option<(String, KeyPlace)>,
    /// Our certificate.
    pub identity: Option<Identity>,
}

/// Checks the table.
pub(super) fn smarthost(folder: &Path, table: &SmarthostTable, fail: Fail<'_>) -> Result<Smarthost, Error> {
    let name = table.host.get_ref().to_ascii_lowercase();
    if !is_host_name(&name) {
        return Err(fail(table.host.span().start, "[smarthost] host is no host name of two labels or more".into())
            .hint("its certificate must prove the name; say where it is with `address` if the DNS doesn't"));
    }
    let place = match table.address {
        Some(address) => Place::RelayAt(SocketAddr::new(address, table.port)),
        None => Place::Relay(table.port),
    };
    let implicit_tls = match table.tls {
        Some(start) => start == TlsStart::Implicit,
        None => table.port == 465,
    };
    Ok(Smarthost {
        host: MxHost { name, preference: 0, place },
        implicit_tls,
        login: login(folder, table, fail)?,
        identity: identity(folder, table, fail)?,
    })
}

fn login(folder: &Path, table: &SmarthostTable, fail: Fail<'_>) -> Result<Option<(String, KeyPlace)>, Error> {
    match (&table.user, &table.password) {
        (None, None) => Ok(None),
        (Some(user), Some(password)) => {
            let place = key_place(folder, password.get_ref())
                .map_err(|what| fail(password.span().start, format!("[smarthost] password {what}")))?;
            Ok(Some((user.get_ref().clone(), place)))
        }
        (Some(user), None) => Err(fail(user.span().start, "[smarthost] has a user and no password".into())
            .hint("add: password = { file = \"smarthost.password\" }")),
        (None, Some(password)) => {
            Err(fail(password.span().start, "[smarthost] has a password and no user".into()).hint("add: user = \"…\""))
        }
    }
}

fn identity(folder: &Path, table: &SmarthostTable, fail: Fail<'_>) -> Result<Option<Identity>, Error> {
    match (&table.certificate, &table.certificate_key) {
        (None, None) => Ok(None),
        (Some(certificate), Some(key)) => {
            Ok(Some(Identity { certificate: folder.join(certificate.get_ref()), key: folder.join(key.get_ref()) }))
        }
        (Some(one), None) | (None, Some(one)) => {
            Err(fail(one.span().start, "[smarthost] needs both certificate and certificate_key".into()))
        }
    }
}
