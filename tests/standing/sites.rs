//! Twenty sites, a third of which can't do what is asked of them.

use super::{machine, transcript};
use crate::support::certificates::Authority;
use crate::support::{Debian, Desk, Mx, Peer, free_port};
use std::time::Duration;

/// Twenty sites, a third of them unable in different ways, and others down.
pub(super) struct Sites {
    pub(super) desk: Desk,
    pub(super) domains: Vec<(String, u64)>,
    _running: (Vec<Mx>, [Peer; 3], Debian),
}

impl Sites {
    pub(super) fn start() -> Sites {
        let desk = Desk::new();
        let able = Mx::start(&desk, &[]);
        let bare = Mx::named(&desk, "bare", "127.0.0.1:0", &["--no-starttls"]);
        let stranger = Mx::named(&desk, "stranger", "127.0.0.1:0", &[]);
        let refusing = Peer::start(|_, line| {
            line.greet(&["STARTTLS"]);
            line.hear();
            line.say("454 4.7.0 not now\r\n");
            line.hear();
        });
        let babbling = Peer::start(|_, line| {
            line.greet(&["STARTTLS"]);
            line.hear();
            line.say("220 go ahead\r\n");
            // In the same packet it would be something that was injected.
            std::thread::sleep(Duration::from_millis(100));
            line.say("this is no TLS\r\n");
            line.hear();
        });
        let injecting = Peer::start(|_, line| {
            line.greet(&["STARTTLS"]);
            line.hear();
            line.say("220 go ahead\r\n250 injected\r\n");
            line.hear();
        });
        let authority = Authority::new();
        authority.write(&desk.path("old.pem"));
        let expired = Debian::smarthost(&authority.leaf_until("mx.expired.example", 2020, &desk.path("")), &[]);
        let down = free_port();
        let unable = [
            ("bare.example", "mx.bare.example", bare.port),
            ("naked.example", "mx.naked.example", bare.port),
            ("stranger.example", "mx.stranger.example", stranger.port),
            ("misnamed.example", "127.0.0.2", able.port),
            ("refusing.example", "mx.refusing.example", refusing.port),
            ("babbling.example", "mx.babbling.example", babbling.port),
            ("expired.example", "mx.expired.example", expired.port),
            ("injecting.example", "mx.injecting.example", injecting.port),
            ("down.example", "mx.down.example", down),
        ];
        let good: Vec<_> = (1..=12).map(|site| (format!("a{site}.example"), format!("mx.a{site}.example"))).collect();
        let good = good.iter().map(|(domain, host)| (domain.as_str(), host.as_str(), able.port));
        let routes: Vec<_> = good.chain(unable).collect();
        machine(&desk, &routes, "exclusive_confirm = \"1s\"\n");
        let text = transcript(&desk, "sealpost.toml").replace("\"ca.pem\"", "\"ca.pem\", \"old.pem\"");
        desk.write("sealpost.toml", text.as_bytes());
        let domains = routes.iter().zip(1..).map(|((domain, ..), rows)| ((*domain).to_owned(), rows * 3)).collect();
        Sites { desk, domains, _running: (vec![able, bare, stranger], [refusing, babbling, injecting], expired) }
    }

    pub(super) fn campaign(&self, transport: &str) -> (String, u64) {
        let campaign = self.desk.small(1, transport);
        let mut csv = "id,email,first_name\n".to_owned();
        for (domain, count) in &self.domains {
            (0..*count).for_each(|row| csv.push_str(&format!("{domain}-{row},r{row}@{domain},Ann\n")));
        }
        let rows: u64 = self.domains.iter().map(|(_, count)| count).sum();
        // These never get as far as TLS.
        csv.push_str("twin,r0@a1.example,Ann\ntwin,r1@bare.example,Ann\nbroken,nobody,Ann\n");
        self.desk.write("small.csv", csv.as_bytes());
        (campaign, rows + 1)
    }
}
