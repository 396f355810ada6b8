//! The policy hosts of all domains (RFC 8461 section 3.3), at one address.

use super::papers::Papers;
use super::receiver::serve;
use rustls::{ServerConnection, StreamOwned};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

/// What is served, by domain; the host of any other domain breaks off.
#[derive(Clone, Default)]
pub struct Policies(Arc<Mutex<BTreeMap<String, String>>>);

impl Policies {
    /// Listens at `address`, with papers for every policy host.
    pub fn start(address: SocketAddr, papers: &Papers) -> Policies {
        let (policies, tls) = (Policies::default(), papers.server());
        let served = policies.clone();
        serve(address, move |stream| {
            let connection = ServerConnection::new(tls.clone()).expect("it is configured");
            served.answer(BufReader::new(StreamOwned::new(connection, stream)));
        });
        policies
    }

    pub fn serve(&self, domain: &str, mode: &str, mx: &str) {
        let text = format!("version: STSv1\r\nmode: {mode}\r\nmx: {mx}\r\nmax_age: 604800\r\n");
        self.0.lock().expect("no holder panics").insert(domain.to_owned(), text);
    }

    /// From now on the domain's policy host is down.
    pub fn down(&self, domain: &str) {
        self.0.lock().expect("no holder panics").remove(domain);
    }

    fn answer(&self, mut stream: BufReader<StreamOwned<ServerConnection, std::net::TcpStream>>) {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") && stream.read_line(&mut head).is_ok_and(|length| length > 0) {}
        let lower = head.to_ascii_lowercase();
        let domain = lower.lines().find_map(|line| line.strip_prefix("host: mta-sts."));
        let known = self.0.lock().expect("no holder panics");
        let Some(text) = domain.and_then(|domain| known.get(domain)).cloned() else { return };
        drop(known);
        let length = text.len();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n");
        write!(stream.get_mut(), "{head}Connection: close\r\n\r\n{text}").ok();
        stream.get_mut().conn.send_close_notify();
        stream.get_mut().flush().ok();
    }
}
