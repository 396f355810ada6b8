//! What scenarios are made of.

pub mod certificates;
pub mod course;
pub mod desk;
pub mod dice;
pub mod hosts;
pub mod lasting;
pub mod middle;
pub mod mount;
pub mod peer;
pub mod power;
pub mod process;
pub mod receivers;
pub mod web;
pub mod world;

pub use certificates::Authority;
pub use course::Course;
pub use desk::{Desk, Ran};
pub use dice::Dice;
pub use lasting::Lasting;
pub use peer::Peer;
pub use receivers::{Debian, Knot, Mx, Prometheus};
pub use web::Web;
pub use world::{Signed, World};

use std::path::PathBuf;

/// The project's folder.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A port on 127.0.0.1 that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.local_addr().expect("it was bound").port()
}
