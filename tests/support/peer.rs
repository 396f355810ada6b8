//! A scripted SMTP server in clear text, for what no well-behaved server does.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Listens, and runs the script for each connection with its number, from 0. Every line that clients say is kept.
pub struct Peer {
    pub port: u16,
    said: Arc<Mutex<Vec<String>>>,
}

/// One connection, in a script's hands.
pub struct Line {
    reader: BufReader<TcpStream>,
    said: Arc<Mutex<Vec<String>>>,
}

impl Peer {
    pub fn start(script: impl Fn(usize, &mut Line) + Send + Sync + 'static) -> Peer {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let port = listener.local_addr().expect("bound").port();
        let said: Arc<Mutex<Vec<String>>> = Arc::default();
        let (book, script) = (said.clone(), Arc::new(script));
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let (stream, said, script) = (stream.expect("a connection"), book.clone(), script.clone());
                stream.set_nodelay(true).expect("set");
                stream.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
                std::thread::spawn(move || script(number, &mut Line { reader: BufReader::new(stream), said }));
            }
        });
        Peer { port, said }
    }

    /// Everything clients said, in order.
    pub fn said(&self) -> Vec<String> {
        self.said.lock().expect("no holder panics").clone()
    }

    /// Whether any client said something that begins so.
    pub fn heard(&self, start: &str) -> bool {
        self.said().iter().any(|line| line.starts_with(start))
    }
}

impl Line {
    pub fn say(&mut self, text: &str) {
        self.reader.get_mut().write_all(text.as_bytes()).ok();
    }

    /// The next line, or empty at the end.
    pub fn hear(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap_or(0);
        let line = line.trim_end().to_owned();
        self.said.lock().expect("no holder panics").push(line.clone());
        line
    }

    /// Whether the client already sent more than was read: it pipelines.
    pub fn has_more(&self) -> bool {
        !self.reader.buffer().is_empty()
    }

    /// Greeting and EHLO, with these extensions.
    pub fn greet(&mut self, extensions: &[&str]) {
        self.say("220 peer.example ESMTP\r\n");
        self.hear();
        let mut text = "250-peer.example\r\n".to_owned();
        for extension in extensions {
            text.push_str(&format!("250-{extension}\r\n"));
        }
        self.say(&(text + "250 ENHANCEDSTATUSCODES\r\n"));
    }

    /// Reads a message to its final dot; whether it got there.
    pub fn content(&mut self) -> bool {
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line).unwrap_or(0) == 0 {
                return false;
            } else if line == ".\r\n" {
                return true;
            }
        }
    }

    /// Whether the client has left.
    pub fn is_over(&mut self) -> bool {
        self.reader.fill_buf().map_or(true, <[u8]>::is_empty)
    }

    /// Reads the chunk that `BDAT n LAST` announced; whether it was whole.
    pub fn chunk(&mut self, said: &str) -> bool {
        let size = said.split(' ').nth(1).and_then(|size| size.parse().ok()).expect("a size");
        self.reader.read_exact(&mut vec![0; size]).is_ok()
    }

    /// Throws away what the client has sent and nobody has read.
    pub fn forget(&mut self) {
        std::thread::sleep(Duration::from_millis(100));
        self.reader.consume(self.reader.buffer().len());
        let stream = self.reader.get_mut();
        stream.set_nonblocking(true).expect("set");
        while stream.read(&mut [0; 4096]).is_ok_and(|count| count > 0) {}
        stream.set_nonblocking(false).expect("set");
    }

    /// Takes every message until the client leaves.
    pub fn take_everything(&mut self) {
        self.take_each(|_| "250 2.0.0 taken");
    }

    /// Answers every message, by its number on this connection from 0, until the client leaves.
    pub fn take_each(&mut self, mut answer: impl FnMut(usize) -> &'static str) {
        for number in 0.. {
            if !self.take_one(|| answer(number)) {
                return;
            }
        }
    }

    /// Answers one message; whether the client is still there.
    fn take_one(&mut self, answer: impl FnOnce() -> &'static str) -> bool {
        loop {
            let said = self.hear();
            match said.get(..4).unwrap_or_default() {
                "BDAT" => {
                    self.chunk(&said);
                    break;
                }
                "DATA" => {
                    self.say("354 go on\r\n");
                    self.content();
                    break;
                }
                "QUIT" => {
                    self.say("221 bye\r\n");
                    return false;
                }
                "" => return false,
                _ => self.say("250 2.0.0 fine\r\n"),
            }
        }
        self.say(&format!("{}\r\n", answer()));
        true
    }
}
