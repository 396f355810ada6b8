//! Writing to a server that may be talking.

use super::ReplyParser;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What a server may say while we write, before it has to listen: replies to two messages are shorter by far.
const MOST_HEARD: usize = 64 * 1024;

/// Writes all of it, and takes in what the server says meanwhile: one that reads no further until it is heard would block both
/// sides for good (RFC 2920 section 3.1).
pub(super) async fn write_all(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    octets: &[u8],
    replies: &mut ReplyParser,
) -> io::Result<()> {
    let (mut rest, mut deaf) = (octets, false);
    poll_fn(|cx| {
        loop {
            let written = match rest {
                [] => Pin::new(&mut *stream).poll_flush(cx).map_ok(|()| 0),
                _ => Pin::new(&mut *stream).poll_write(cx, rest),
            };
            match written {
                Poll::Ready(Ok(0)) if rest.is_empty() => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => rest = &rest[count..],
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending if deaf || replies.rest() > MOST_HEARD => return Poll::Pending,
                // Whatever is wrong with reading, writing or the next read will tell.
                Poll::Pending => deaf = !ready!(hear(stream, replies, cx)),
            }
        }
    })
    .await
}

/// Takes in what is there to read; `false`: there will be nothing more.
fn hear(stream: &mut (impl AsyncRead + Unpin), replies: &mut ReplyParser, cx: &mut Context<'_>) -> Poll<bool> {
    let mut octets = [0; 1024];
    let mut buffer = ReadBuf::new(&mut octets);
    let read = ready!(Pin::new(stream).poll_read(cx, &mut buffer));
    replies.feed(buffer.filled());
    Poll::Ready(read.is_ok() && !buffer.filled().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::timeout;

    /// Both would wait for ever for the other to read.
    #[tokio::test(start_paused = true)]
    async fn a_server_that_talks_before_it_listens_blocks_nobody() {
        let (mut ours, theirs) = tokio::io::duplex(64);
        let (mut replies, said) = (ReplyParser::default(), "250 and so on\r\n".repeat(100));
        let server = async {
            let (mut reading, mut writing) = tokio::io::split(theirs);
            writing.write_all(said.as_bytes()).await.expect("we listen");
            let mut heard = vec![0; 10_000];
            reading.read_exact(&mut heard).await.expect("all of it");
        };
        let content = [b'x'; 10_000];
        let both = async { tokio::join!(write_all(&mut ours, &content, &mut replies), server).0 };
        timeout(Duration::from_secs(60), both).await.expect("nobody waits").expect("written");
        for number in 0..100 {
            assert_eq!(replies.take().expect("replies").map(|reply| reply.code), Some(250), "{number}");
        }
    }

    #[tokio::test]
    async fn a_server_that_talks_without_end_is_not_listened_to_without_end() {
        let (mut ours, mut theirs) = tokio::io::duplex(1024);
        let mut replies = ReplyParser::default();
        let server = async { while theirs.write_all(b"250 and so on\r\n").await.is_ok() {} };
        let content = [b'x'; 10_000];
        tokio::select! {
            _ = timeout(Duration::from_millis(200), write_all(&mut ours, &content, &mut replies)) => {}
            () = server => {}
        }
        assert!((MOST_HEARD..2 * MOST_HEARD).contains(&replies.rest()), "{}", replies.rest());
    }
}
