//! What a seed makes of the world: who is there, and how they behave.

use super::dice::Dice;
use crate::clock::Zone;
use crate::queue::Limits;
use crate::retry::Retry;
use crate::sandbox::{Allowed, Step, Window};
use crate::shaping::Rate;
use std::net::SocketAddr;
use std::time::Duration;

/// One seed's world.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) limits: Limits,
    pub(super) shards: usize,
    pub(super) sources: usize,
    pub(super) retry: Retry,
    /// MX host sets; each host belongs to one.
    pub(super) sites: Vec<Site>,
    pub(super) domains: Vec<Domain>,
    pub(super) runs: Vec<Blast>,
    /// Orders that the operator gives before the last, which undoes them.
    pub(super) orders: u64,
    /// When the engine is told to stop, whatever is left.
    pub(super) stop: Option<Duration>,
    /// When nobody's name servers answer.
    pub(super) outage: Option<(Duration, Duration)>,
    /// Dials in a thousand for which our machine has no descriptor.
    pub(super) exhausted: u64,
    /// What the first source may send each site on its first days, if it warms up.
    pub(super) caps: Vec<u32>,
    /// Where its days begin.
    pub(super) zone: Zone,
    /// Days that pass before everything must rest; the nights are short.
    pub(super) days: u32,
}

#[derive(Clone, Debug)]
pub(super) struct Site {
    pub(super) hosts: Vec<Host>,
}

#[derive(Clone, Debug)]
pub(super) struct Host {
    pub(super) name: String,
    pub(super) preference: u16,
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) temper: Temper,
}

/// How a server behaves; shares are in a thousand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Temper {
    /// Connections that are refused, lost, or never open.
    pub(super) refuse: u64,
    /// Sessions that are turned away by the greeting.
    pub(super) turn_away: u64,
    /// Steps at which something goes wrong.
    pub(super) mishap: u64,
    /// Recipients that are refused for good, and messages.
    pub(super) bounce: u64,
    /// How often each recipient is put off before it is taken.
    pub(super) greylist: u64,
    /// Sessions at once.
    pub(super) sessions: usize,
    /// Messages in a time.
    pub(super) pace: Option<Pace>,
    pub(super) pipelining: bool,
    pub(super) chunking: bool,
    /// Messages after which it throws away what was sent behind them, although it offers PIPELINING.
    pub(super) forget: u64,
    /// Replies that it gives twice; once a connection at most, since nobody could follow it further.
    pub(super) stutter: u64,
    pub(super) ehlo: bool,
    /// The longest ordinary wait before a reply, in milliseconds.
    pub(super) slow: u64,
}

/// A limit on messages.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) allowed: Allowed,
    /// Which step of a message too many is refused.
    pub(super) at: Step,
    pub(super) reply: &'static str,
}

#[derive(Clone, Debug)]
pub(super) struct Domain {
    pub(super) name: String,
    pub(super) site: usize,
    /// The site to which it moves, and when.
    pub(super) moves: Option<(usize, Duration)>,
    pub(super) exists: bool,
    /// Look-ups in a thousand that fail for now.
    pub(super) fails: u64,
    pub(super) ttl: Duration,
}

/// A run.
#[derive(Clone, Debug)]
pub(super) struct Blast {
    /// The domain of each row; ordinals begin at 1.
    pub(super) rows: Vec<usize>,
    pub(super) begins: Duration,
    pub(super) weight: u32,
    pub(super) resend: bool,
    pub(super) room: usize,
    pub(super) lifetime: Duration,
    /// Rows that go ahead of each site's others, whatever they come to.
    pub(super) canary: Option<u32>,
}

/// A reply that is later than this is not waited for.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

impl Plan {
    pub(super) fn of(seed: u64) -> Plan {
        let mut dice = Dice::of(seed, "plan", 0);
        let calm = dice.chance(150);
        let sites: Vec<_> = (0..dice.number(1..5)).map(|site| a_site(&mut dice, site, calm)).collect();
        let domains: Vec<_> =
            (0..dice.number(2..7)).map(|number| a_domain(&mut dice, number, sites.len(), calm)).collect();
        let runs = (0..dice.pick(&[1, 1, 2, 2, 2])).map(|_| a_blast(&mut dice, domains.len())).collect();
        let limits = Limits {
            connections: dice.size(1..7),
            connections_per_provider: dice.size(1..5),
            messages_per_connection: dice.pick(&[1, 2, 5, 20]),
            rows_in_memory: 1,
            connect_timeout: Duration::from_secs(5),
            idle_timeout: dice.millis(1000..8000),
            command_timeout: Some(PATIENCE),
        };
        let begin = dice.millis(0..20_000);
        let mut plan = Plan {
            seed,
            limits,
            shards: dice.size(1..3),
            sources: dice.size(1..3),
            retry: Retry { first: dice.millis(1000..8000), longest: dice.millis(8000..30_000) },
            sites,
            domains,
            runs,
            orders: dice.pick(&[0, 0, 2, 5, 8]),
            stop: dice.chance(150).then(|| dice.millis(500..60_000)),
            outage: (!calm && dice.chance(200)).then(|| (begin, begin + dice.millis(1000..20_000))),
            exhausted: if dice.chance(100) { 50 } else { 0 },
            caps: Vec::new(),
            zone: Zone::default(),
            days: 0,
        };
        // Where there is another source, nobody has to wait for tomorrow.
        if plan.sources > 1 && dice.chance(400) {
            let cap = dice.pick(&[1, 2, 5, 10]);
            plan.caps = vec![cap, cap + dice.pick(&[0, 3])];
            // Half of the time midnight comes 40 seconds after the simulation begins.
            if dice.chance(500) {
                plan.zone = Zone::parse("+09:46").expect("a zone");
            }
        }
        plan
    }

    /// The same world where nothing is wrong but that every server refuses what is too much for it.
    pub(super) fn hurried(seed: u64) -> Plan {
        let (mut plan, mut dice) = (Plan::of(seed), Dice::of(seed, "hurry", 0));
        calm(&mut plan);
        for host in plan.sites.iter_mut().flat_map(|site| &mut site.hosts) {
            host.temper = hurried(&mut dice, host.temper);
        }
        plan
    }
}

/// What keeps rows from their servers, but for limits.
fn calm(plan: &mut Plan) {
    (plan.orders, plan.stop, plan.outage, plan.exhausted) = (0, None, None, 0);
    for domain in &mut plan.domains {
        (domain.exists, domain.moves, domain.fails) = (true, None, 0);
    }
    for run in &mut plan.runs {
        run.lifetime = Duration::from_secs(3600);
    }
}

/// A server that has limits, and no other fault.
fn hurried(dice: &mut Dice, temper: Temper) -> Temper {
    let pace = temper.pace.or_else(|| Some(a_pace(dice)));
    let Temper { sessions, pipelining, chunking, ehlo, slow, .. } = temper;
    let (refuse, turn_away, mishap, bounce, greylist, forget, stutter) = (0, 0, 0, 0, 0, 0, 0);
    Temper {
        refuse,
        turn_away,
        mishap,
        bounce,
        greylist,
        sessions,
        pace,
        pipelining,
        chunking,
        forget,
        stutter,
        ehlo,
        slow,
    }
}

fn a_site(dice: &mut Dice, site: u64, calm: bool) -> Site {
    let hosts = dice.pick(&[1, 1, 2, 3]);
    let host = |number: u64| {
        let address = |last: u64| format!("10.{site}.{number}.{last}:25").parse().expect("an address");
        Host {
            name: format!("mx{number}.site{site}.example"),
            preference: dice.pick(&[10, 10, 20]),
            addresses: (0..dice.pick(&[1, 1, 2])).map(address).collect(),
            temper: a_temper(dice, calm),
        }
    };
    let mut hosts: Vec<_> = (0..hosts).map(host).collect();
    hosts.sort_by_key(|host| host.preference);
    Site { hosts }
}

fn a_temper(dice: &mut Dice, calm: bool) -> Temper {
    let mut sometimes = |shares: &[u64]| if calm { 0 } else { dice.pick(shares) };
    Temper {
        refuse: sometimes(&[0, 0, 0, 50, 300, 1000]),
        turn_away: sometimes(&[0, 0, 0, 50, 300]),
        mishap: sometimes(&[0, 5, 20, 50, 100]),
        bounce: sometimes(&[0, 20, 100]),
        greylist: sometimes(&[0, 0, 0, 1, 2]),
        forget: sometimes(&[0, 0, 0, 0, 0, 50, 1000]),
        stutter: sometimes(&[0, 0, 0, 0, 20, 100]),
        sessions: dice.pick(&[1, 2, 100, 100]),
        pipelining: dice.chance(700),
        chunking: dice.chance(500),
        ehlo: dice.chance(900),
        slow: dice.pick(&[5, 50, 500, 3000]),
        pace: (!calm && dice.chance(250)).then(|| a_pace(dice)),
    }
}

fn a_pace(dice: &mut Dice) -> Pace {
    let (count, seconds) = dice.pick(&[(1, 1), (2, 1), (5, 1), (30, 60)]);
    let rate = Rate { count, per: Duration::from_secs(seconds) };
    let allowed = Allowed { rate, window: dice.pick(&[Window::Bucket, Window::Fixed]), burst: dice.pick(&[1, 2, 5]) };
    let reply = dice.pick(&[
        "450 4.7.0 rate limited",
        "451 4.7.1 try again later, you send too fast",
        "421 4.7.28 unusual rate of mail",
        "452 4.7.0 too many messages, slow down",
    ]);
    Pace { allowed, at: dice.pick(&[Step::Mail, Step::Rcpt, Step::Message]), reply }
}

fn a_domain(dice: &mut Dice, number: u64, sites: usize, calm: bool) -> Domain {
    Domain {
        name: format!("d{number}.example"),
        site: dice.size(0..sites),
        moves: dice.chance(200).then(|| (dice.size(0..sites), dice.millis(1000..30_000))),
        exists: dice.chance(900),
        fails: if calm { 0 } else { dice.pick(&[0, 0, 100, 500]) },
        ttl: dice.millis(100..60_000),
    }
}

fn a_blast(dice: &mut Dice, domains: usize) -> Blast {
    let rows = dice.size(10..50);
    // Most rows of a list go to one provider.
    let favourite = dice.size(0..domains);
    let domain = |dice: &mut Dice| if dice.chance(500) { favourite } else { dice.size(0..domains) };
    Blast {
        rows: (0..rows).map(|_| domain(dice)).collect(),
        begins: if dice.chance(700) { Duration::ZERO } else { dice.millis(0..20_000) },
        weight: dice.pick(&[1, 1, 3, 10]),
        resend: dice.chance(300),
        room: dice.pick(&[1, 3, 8, 20, 100]),
        lifetime: dice.millis(20_000..120_000),
        canary: dice.pick(&[None, None, Some(1), Some(4)]),
    }
}
