//! How a session gets its stream of octets: over TCP, or, in a simulation, from a server that is a task beside it.

use super::IoFault;
use super::session::Target;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpSocket;

/// What goes both ways.
pub trait Octets: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Octets for T {}

/// A stream to a server, whatever it is made of. It costs a session one indirect call for each read and write.
pub type Wire = Box<dyn Octets>;

/// A stream that is being opened.
pub type Dialling<'a> = Pin<Box<dyn Future<Output = Result<Wire, IoFault>> + 'a>>;

/// What opens streams.
pub trait Dial: Send + Sync {
    /// A stream to `target`, for as long as it takes.
    fn dial<'a>(&'a self, target: Target<'a>) -> Dialling<'a>;
}

/// The network.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tcp;

impl Dial for Tcp {
    fn dial<'a>(&'a self, target: Target<'a>) -> Dialling<'a> {
        Box::pin(connect(target))
    }
}

async fn connect(target: Target<'_>) -> Result<Wire, IoFault> {
    let socket = if target.address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let socket = socket.map_err(|error| connect_fault(&error))?;
    if let Some(from) = target.from {
        socket.bind(SocketAddr::new(from, 0)).map_err(|error| bind_fault(&error))?;
    }
    let stream = socket.connect(target.address).await.map_err(|error| connect_fault(&error))?;
    // Commands are written whole; waiting for more octets would only add latency.
    stream.set_nodelay(true).ok();
    Ok(Box::new(stream))
}

/// No port was asked for: what is not available is the address (bind(2)).
fn bind_fault(error: &io::Error) -> IoFault {
    if error.kind() == io::ErrorKind::AddrNotAvailable { IoFault::SourceGone } else { connect_fault(error) }
}

fn connect_fault(error: &io::Error) -> IoFault {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => IoFault::Refused,
        io::ErrorKind::TimedOut => IoFault::TimedOut,
        _ if crate::mail::is_exhausted(error) => IoFault::Exhausted,
        _ => IoFault::Lost,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_connecting_can_fail_by() {
        let cases = [
            (rustix::io::Errno::MFILE, IoFault::Exhausted),
            (rustix::io::Errno::NFILE, IoFault::Exhausted),
            (rustix::io::Errno::NOBUFS, IoFault::Exhausted),
            (rustix::io::Errno::NOMEM, IoFault::Exhausted),
            // connect(2): every port of the ephemeral range is taken.
            (rustix::io::Errno::ADDRNOTAVAIL, IoFault::Exhausted),
            (rustix::io::Errno::ADDRINUSE, IoFault::Exhausted),
            (rustix::io::Errno::CONNREFUSED, IoFault::Refused),
            (rustix::io::Errno::TIMEDOUT, IoFault::TimedOut),
            (rustix::io::Errno::HOSTUNREACH, IoFault::Lost),
        ];
        for (errno, fault) in cases {
            assert_eq!(connect_fault(&errno.into()), fault, "{errno}");
        }
        assert_eq!(bind_fault(&rustix::io::Errno::ADDRNOTAVAIL.into()), IoFault::SourceGone);
        assert_eq!(bind_fault(&rustix::io::Errno::ADDRINUSE.into()), IoFault::Exhausted);
    }
}
