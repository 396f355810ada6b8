//! Renders and signs: what a rayon thread does with a row.

use crate::clock::Timestamp;
use crate::mail::{Message, Row};
use crate::render::{Renderer, Unrenderable};
use crate::sign::{Signer, Unsigned};
use crate::smtp::Envelope;
use std::sync::Arc;

/// Makes messages of one run's rows. Shared by all rendering threads.
pub struct Press {
    renderer: Renderer,
    signer: Arc<Signer>,
    requiretls: bool,
}

impl Press {
    /// A press of these two.
    pub fn new(renderer: Renderer, signer: Arc<Signer>) -> Press {
        Press { renderer, signer, requiretls: false }
    }

    /// The same, which asks servers to keep its messages on proven TLS, or doesn't.
    pub fn requiring_tls(self, requiretls: bool) -> Press {
        Press { requiretls, ..self }
    }

    /// The signed message of `row`. Its `Date` is that of the first attempt, its signatures are of now.
    ///
    /// # Errors
    /// The row makes no message.
    pub fn make(&self, row: &mut Row, now: Timestamp) -> Result<Message, Unrenderable> {
        let content = self.render(row, now)?;
        Ok(Message::sealed(self.signer.sign(&content, now), &content))
    }

    /// The first half of [`make`](Press::make): the message without signatures.
    pub(super) fn render(&self, row: &mut Row, now: Timestamp) -> Result<Vec<u8>, Unrenderable> {
        let date = *row.first_attempt.get_or_insert(now);
        self.renderer.render(row, date)
    }

    /// What is left to be signed of it.
    pub(super) fn prepare(&self, content: &[u8], now: Timestamp) -> Unsigned {
        self.signer.prepare(content, now)
    }

    /// The envelope of `row` for a message of `size` octets.
    pub fn envelope(&self, row: &Row, size: usize) -> Envelope {
        let sender = self.renderer.return_path(row.ordinal);
        let id = sender.split('@').next().unwrap_or_default().to_owned();
        let recipient = row.to.as_str().to_owned();
        let utf8 = row.to.needs_smtputf8();
        Envelope { sender, recipient, size, id, utf8, requiretls: self.requiretls }
    }

    /// The row's Message-ID.
    pub fn message_id(&self, ordinal: u64) -> String {
        self.renderer.message_id(ordinal)
    }
}
