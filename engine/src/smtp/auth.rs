//! AUTH (RFC 4954): the mechanism's part of the conversation, by rsasl. SCRAM-SHA-256 (RFC 7677) before PLAIN (RFC 4616)
//! before LOGIN; never before TLS has proven the server.

use super::Login;
use data_encoding::BASE64;
use rsasl::prelude::{Mechname, SASLClient, SASLConfig, Session, State};

/// An AUTH exchange at work.
pub(super) struct Exchange {
    session: Session,
    done: bool,
}

/// Mechanisms by preference: the first proves the server as well and never shows it the password. rsasl hashes for it with code of
/// its own, which is outside AWS-LC's module, so a `fips` build leaves the proof to TLS.
const MECHANISMS: &[&str] =
    if cfg!(feature = "fips") { &["PLAIN", "LOGIN"] } else { &["SCRAM-SHA-256", "PLAIN", "LOGIN"] };

impl Exchange {
    /// Begins with the best of the `offered` mechanisms; gives the AUTH command. `None`: there is none in common.
    pub(super) fn begin(login: &Login, offered: &[String]) -> Option<(Exchange, String)> {
        let name = MECHANISMS.iter().find(|ours| offered.iter().any(|theirs| theirs.eq_ignore_ascii_case(ours)))?;
        let config = SASLConfig::with_credentials(None, login.user.clone(), login.password.to_string()).ok()?;
        let mechanism = Mechname::parse(name.as_bytes()).ok()?;
        let session = SASLClient::new(config).start_suggested([&mechanism]).ok()?;
        let mut exchange = Exchange { session, done: false };
        if !exchange.session.are_we_first() {
            return Some((exchange, format!("AUTH {name}\r\n")));
        }
        let first = exchange.step(None)?;
        // RFC 4954 section 4: an empty initial response is a lone `=`.
        let first = if first.is_empty() { "=".to_owned() } else { first };
        Some((exchange, format!("AUTH {name} {first}\r\n")))
    }

    /// The answer to a 334 with this text. `None`: the server does not play by the rules, or did not prove itself.
    pub(super) fn answer(&mut self, challenge: &str) -> Option<String> {
        if self.done {
            // The server's last word in SCRAM comes as one more challenge where the mechanism has nothing to add.
            return challenge.trim().is_empty().then(|| "\r\n".to_owned());
        }
        let challenge = BASE64.decode(challenge.trim().as_bytes()).ok()?;
        self.step(Some(&challenge)).map(|answer| format!("{answer}\r\n"))
    }

    /// Whether the mechanism has all it needs, the server's proof included.
    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    fn step(&mut self, challenge: Option<&[u8]>) -> Option<String> {
        let mut answer = Vec::new();
        let state = self.session.step(challenge, &mut answer).ok()?;
        self.done = matches!(state, State::Finished(_));
        Some(BASE64.encode(&answer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login() -> Login {
        Login { user: "acme".into(), password: "pa ss".to_owned().into() }
    }

    fn begin(offered: &[&str]) -> Option<(Exchange, String)> {
        Exchange::begin(&login(), &offered.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn plain_says_all_at_once() {
        let (exchange, line) = begin(&["LOGIN", "PLAIN"]).expect("PLAIN");
        assert_eq!(line, format!("AUTH PLAIN {}\r\n", BASE64.encode(b"\0acme\0pa ss")));
        assert!(exchange.is_done());
    }

    #[test]
    fn login_answers_two_questions() {
        let (mut exchange, line) = begin(&["LOGIN", "GSSAPI"]).expect("LOGIN");
        assert_eq!(line, "AUTH LOGIN\r\n");
        let question = |text: &str| BASE64.encode(text.as_bytes());
        assert_eq!(exchange.answer(&question("Username:")), Some(format!("{}\r\n", BASE64.encode(b"acme"))));
        assert_eq!(exchange.answer(&question("Password:")), Some(format!("{}\r\n", BASE64.encode(b"pa ss"))));
        assert!(exchange.is_done());
    }

    #[cfg(not(feature = "fips"))]
    #[test]
    fn scram_goes_first_and_refuses_a_server_that_cannot_prove_itself() {
        let (mut exchange, line) = begin(&["PLAIN", "scram-sha-256"]).expect("SCRAM");
        assert!(line.starts_with("AUTH SCRAM-SHA-256 "), "{line}");
        let first = BASE64.decode(line["AUTH SCRAM-SHA-256 ".len()..].trim().as_bytes()).expect("base64");
        let first = String::from_utf8(first).expect("ASCII");
        let (_, nonce) = first.split_once(",r=").expect("a nonce");
        let challenge = format!("r={nonce}server,s={},i=4096", BASE64.encode(b"salt"));
        let answer = exchange.answer(&BASE64.encode(challenge.as_bytes())).expect("an answer");
        assert!(!answer.is_empty() && !exchange.is_done());
        assert!(exchange.answer(&BASE64.encode(b"v=bm90IHRoZSBzZXJ2ZXI=")).is_none(), "another's signature");
    }

    /// The server's side of RFC 5802 section 3, for the user and password of `login`.
    #[cfg(not(feature = "fips"))]
    #[test]
    fn scram_proves_both_sides() {
        use aws_lc_rs::{digest, hmac, pbkdf2};
        let (mut exchange, line) = begin(&["SCRAM-SHA-256"]).expect("SCRAM");
        let first = BASE64.decode(line["AUTH SCRAM-SHA-256 ".len()..].trim().as_bytes()).expect("base64");
        let first = String::from_utf8(first).expect("ASCII");
        let bare = &first[first.find("n=").expect("a user")..];
        let nonce = bare.split_once(",r=").expect("a nonce").1;
        let challenge = format!("r={nonce}server,s={},i=4096", BASE64.encode(b"salt"));
        let answer = exchange.answer(&BASE64.encode(challenge.as_bytes())).expect("an answer");
        let last = String::from_utf8(BASE64.decode(answer.trim().as_bytes()).expect("base64")).expect("ASCII");
        let (without_proof, proof) = last.split_once(",p=").expect("a proof");
        let signed = format!("{bare},{challenge},{without_proof}");
        let mac = |key: &[u8], text: &str| {
            hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
        };
        let mut salted = [0; 32];
        let rounds = std::num::NonZero::new(4096).expect("above zero");
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, b"salt", b"pa ss", &mut salted);
        let client = mac(&salted, "Client Key");
        let stored = digest::digest(&digest::SHA256, &client);
        let expected: Vec<_> = client.iter().zip(mac(stored.as_ref(), &signed)).map(|(a, b)| a ^ b).collect();
        assert_eq!(proof, BASE64.encode(&expected), "{first} | {challenge} | {last}");
        let server = BASE64.encode(&mac(&mac(&salted, "Server Key"), &signed));
        assert_eq!(exchange.answer(&BASE64.encode(format!("v={server}").as_bytes())).as_deref(), Some("\r\n"));
        assert!(exchange.is_done());
    }

    #[test]
    fn nothing_in_common_and_nonsense() {
        assert!(begin(&["GSSAPI", "CRAM-MD5"]).is_none());
        assert!(begin(&["LOGIN"]).expect("LOGIN").0.answer("not base64 !").is_none());
    }
}
