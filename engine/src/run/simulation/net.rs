//! The network and its name servers.

use super::dice::Dice;
use super::plan::{Domain, Host};
use super::server;
use super::world::{Connected, World};
use crate::resolve::{Addresses, Answer, Mx, MxHost, NoAddress, NoRoute, Place, Resolver, Security};
use crate::smtp::{Dial, Dialling, IoFault, Target, Wire};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::time::{Instant, sleep};

/// Where everything is.
pub(super) struct Net {
    world: Arc<World>,
    asked: AtomicU64,
}

impl Net {
    pub(super) fn new(world: Arc<World>) -> Net {
        Net { world, asked: AtomicU64::new(0) }
    }

    fn dice(&self) -> Dice {
        Dice::of(self.world.plan.seed, "dns", self.asked.fetch_add(1, Ordering::SeqCst))
    }

    fn at(&self, address: SocketAddr) -> (usize, usize) {
        let sites = self.world.plan.sites.iter().enumerate();
        sites
            .flat_map(|(site, one)| one.hosts.iter().enumerate().map(move |(host, one)| (site, host, one)))
            .find(|(.., host)| host.addresses.contains(&address))
            .map(|(site, host, _)| (site, host))
            .expect("only addresses of hosts come out of the DNS")
    }

    fn is_out(&self) -> bool {
        let now = self.world.elapsed();
        self.world.plan.outage.is_some_and(|(from, to)| from <= now && now < to)
    }
}

impl Dial for Net {
    fn dial<'a>(&'a self, target: Target<'a>) -> Dialling<'a> {
        Box::pin(async move {
            let (site, host) = self.at(target.address);
            let (number, connected) = self.world.connect(site, target.from);
            let who = format!("c{number} site{site}/{host}");
            let mut dice = Dice::of(self.world.plan.seed, "dial", number);
            sleep(dice.millis(1..100)).await;
            if dice.chance(self.world.plan.exhausted) {
                self.world.say(&who, "no descriptor");
                return Err(IoFault::Exhausted);
            }
            if dice.chance(self.world.plan.sites[site].hosts[host].temper.refuse) {
                self.world.say(&who, "not connected");
                sleep(dice.pick(&[Duration::ZERO, Duration::from_secs(60)])).await;
                return Err(dice.pick(&[IoFault::Refused, IoFault::Lost, IoFault::TimedOut]));
            }
            self.world.say(&who, format_args!("connected from {:?}", target.from));
            let (ours, theirs) = tokio::io::duplex(dice.pick(&[64, 1024, 65536]));
            tokio::task::spawn_local(server::serve(self.world.clone(), (site, host), target.from, who, theirs, dice));
            Ok(Box::new(Line(ours, connected)) as Wire)
        })
    }
}

/// Our end of a connection.
struct Line(DuplexStream, #[expect(dead_code, reason = "it counts until it is dropped")] Connected);

impl AsyncRead for Line {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, to)
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, octets)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl Resolver for Net {
    fn mx<'a>(&'a self, domain: &'a str) -> Answer<'a, Result<Mx, NoRoute>> {
        let mut dice = self.dice();
        Box::pin(async move {
            let domains = &self.world.plan.domains;
            let domain = domains.iter().find(|other| other.name == domain).expect("rows have domains of the plan");
            sleep(dice.millis(0..dice_bound(&domain.name))).await;
            let found = self.mx_of(domain, &mut dice);
            let said = found.as_ref().map_or_else(|trouble| trouble.label(), |mx| &mx.hosts[0].name);
            self.world.say(&domain.name, format_args!("looked up: {said}"));
            found
        })
    }

    fn says_anything(&self) -> Answer<'_, bool> {
        let mut dice = self.dice();
        Box::pin(async move {
            sleep(dice.millis(1..2000)).await;
            !self.is_out() && !dice.chance(100)
        })
    }

    fn addresses<'a>(&'a self, host: &'a MxHost) -> Answer<'a, Result<Addresses, NoAddress>> {
        let mut dice = self.dice();
        Box::pin(async move {
            sleep(dice.millis(0..50)).await;
            let known = self.world.plan.sites.iter().flat_map(|site| &site.hosts).find(|known| known.name == host.name);
            if self.is_out() || dice.chance(self.world.plan.domains[0].fails / 10) {
                return Err(NoAddress::Failed);
            }
            let at = known.map(|known| known.addresses.clone()).unwrap_or_default();
            Ok(Addresses { at, security: Security::Insecure })
        })
    }
}

impl Net {
    fn mx_of(&self, domain: &Domain, dice: &mut Dice) -> Result<Mx, NoRoute> {
        if self.is_out() || dice.chance(domain.fails) {
            return Err(dice.pick(&[NoRoute::Failed, NoRoute::TimedOut]));
        }
        if !domain.exists {
            return Err(NoRoute::NoSuchDomain);
        }
        let moved = domain.moves.filter(|(_, when)| *when <= self.world.elapsed());
        let site = moved.map_or(domain.site, |(site, _)| site);
        let host =
            |host: &Host| MxHost { name: host.name.clone(), preference: host.preference, place: Place::Named(25) };
        let hosts = self.world.plan.sites[site].hosts.iter().map(host).collect();
        let valid_until = Some((Instant::now() + domain.ttl).into_std());
        Ok(Mx { hosts, valid_until, security: Security::Insecure })
    }
}

/// Some domains' name servers take their time.
fn dice_bound(domain: &str) -> u64 {
    if domain.starts_with("d1") { 5000 } else { 100 }
}
