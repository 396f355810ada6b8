//! A man in the middle of the DNS, or a resolver with opinions: what it answers over UDP is made of what a server answers.

use hickory_resolver::proto::op::{Message, Query};
use hickory_resolver::proto::rr::{Name, RecordType};
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Ends when it goes.
pub struct Middle {
    pub port: u16,
    over: Arc<AtomicBool>,
}

impl Middle {
    /// `answer` gets the question, and can ask 127.0.0.1:`port`.
    pub fn start(port: u16, answer: impl Fn(&Message, &Server) -> Message + Send + 'static) -> Middle {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
        let middle = Middle { port: socket.local_addr().expect("bound").port(), over: Arc::default() };
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("set");
        let over = middle.over.clone();
        std::thread::spawn(move || {
            let mut octets = [0; 4096];
            while !over.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut octets) else { continue };
                let question = Message::from_vec(&octets[..length]).expect("a question");
                let mut said = answer(&question, &Server(port));
                said.metadata.id = question.metadata.id;
                said.queries.clone_from(&question.queries);
                socket.send_to(&said.to_vec().expect("it fits"), from).ok();
            }
        });
        middle
    }
}

impl Drop for Middle {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// Who is asked on the other side.
pub struct Server(u16);

impl Server {
    pub fn ask(&self, question: &Message) -> Message {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
        socket.set_read_timeout(Some(Duration::from_secs(5))).expect("set");
        socket.send_to(&question.to_vec().expect("it fits"), ("127.0.0.1", self.0)).expect("sent");
        let mut octets = [0; 4096];
        let (length, _) = socket.recv_from(&mut octets).expect("an answer");
        Message::from_vec(&octets[..length]).expect("an answer")
    }

    /// The answer to another question than was asked.
    pub fn ask_for(&self, question: &Message, name: &str, kind: RecordType) -> Message {
        let mut other = question.clone();
        other.queries = vec![Query::query(Name::from_ascii(name).expect("a name"), kind)];
        self.ask(&other)
    }
}

/// Whether it asks for `kind` at `name`.
pub fn asks(question: &Message, name: &str, kind: RecordType) -> bool {
    let wanted = Name::from_ascii(name).expect("a name");
    question.queries.iter().any(|query| query.name == wanted && query.query_type == kind)
}
