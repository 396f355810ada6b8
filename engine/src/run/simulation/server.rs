//! A server: speaks SMTP in clear text (RFC 5321), and misbehaves as its dice say.

use super::dice::Dice;
use super::plan::{PATIENCE, Temper};
use super::world::{Name, World};
use crate::clock::Timestamp;
use crate::sandbox::{Meter, Step};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream};
use tokio::time::{sleep, timeout};

/// The connection is over.
struct Over;

/// One connection.
struct Peer {
    world: Arc<World>,
    place: (usize, usize),
    who: String,
    temper: Temper,
    /// Who is at the other end.
    from: Option<IpAddr>,
    dice: Dice,
    stream: BufReader<DuplexStream>,
    /// MAIL FROM was taken, and this recipient.
    transaction: Option<Option<Name>>,
    /// Whose content came last, and when.
    last: Option<(Name, Timestamp)>,
    /// A reply was given twice.
    stuttered: bool,
    /// Input was thrown away, and so what is left of it may make no sense.
    forgot: bool,
}

/// What goes wrong at a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mishap {
    Nothing,
    Cut,
    /// Half a reply, and then a cut.
    HalfCut,
    /// Half a reply, and the rest in a moment.
    HalfThenRest,
    /// A wait that is longer than anybody's patience.
    Silence,
    Garbage,
    Closing,
}

const MISHAPS: [Mishap; 6] =
    [Mishap::Cut, Mishap::HalfCut, Mishap::HalfThenRest, Mishap::Silence, Mishap::Garbage, Mishap::Closing];

/// What sessions are turned away with; the last one whatever the reason is.
const REPLIES: [&str; 3] = ["421 4.7.0 too many connections", "421 too many", "554 not you"];

/// Serves one connection to a host, until either side has enough.
pub(super) async fn serve(
    world: Arc<World>,
    place: (usize, usize),
    from: Option<IpAddr>,
    who: String,
    stream: DuplexStream,
    dice: Dice,
) {
    let temper = world.plan.sites[place.0].hosts[place.1].temper;
    let sessions = {
        let mut facts = world.facts();
        let sessions = facts.sessions.entry(place).or_default();
        *sessions += 1;
        *sessions
    };
    let stream = BufReader::new(stream);
    let world_of = world.clone();
    let (transaction, last, stuttered, forgot) = (None, None, false, false);
    let mut peer =
        Peer { world: world_of, place, from, who, temper, dice, stream, transaction, last, stuttered, forgot };
    if peer.greet(sessions).await.is_ok() {
        while peer.answer().await.is_ok() {}
    }
    peer.world.say(&peer.who, "closed");
    if let Some(sessions) = world.facts().sessions.get_mut(&place) {
        *sessions -= 1;
    }
}

impl Peer {
    async fn greet(&mut self, sessions: usize) -> Result<(), Over> {
        if sessions > self.temper.sessions || self.dice.chance(self.temper.turn_away) {
            let replies = if self.temper.turn_away > 0 { &REPLIES[..] } else { &REPLIES[..2] };
            let reply = self.dice.pick(replies);
            self.world.say(&self.who, reply);
            self.write(reply).await?;
            return Err(Over);
        }
        self.reply("220 here").await
    }

    /// Reads a command and answers it.
    async fn answer(&mut self) -> Result<(), Over> {
        let line = self.read().await?;
        let verb = line.split(' ').next().unwrap_or_default();
        match verb {
            "EHLO" if self.temper.ehlo => {
                let offers = [(self.temper.pipelining, "PIPELINING"), (self.temper.chunking, "CHUNKING")];
                let offers: String =
                    offers.iter().filter(|(does, _)| *does).map(|(_, word)| format!("250-{word}\r\n")).collect();
                self.reply(&format!("250-here\r\n{offers}250 ENHANCEDSTATUSCODES")).await
            }
            "EHLO" => self.reply("502 what?").await,
            "HELO" => self.reply("250 here").await,
            "MAIL" => self.mail().await,
            "RCPT" => self.rcpt(&line).await,
            "DATA" => self.data().await,
            "BDAT" => self.chunk(&line).await,
            "RSET" => {
                self.transaction = None;
                self.reply("250 2.0.0 forgotten").await
            }
            "QUIT" => {
                self.reply("221 bye").await?;
                Err(Over)
            }
            _ if self.forgot => self.reply("500 5.5.2 what?").await,
            _ => {
                self.world.wrong(format_args!("{}: no command: {line}", self.who));
                Err(Over)
            }
        }
    }

    async fn mail(&mut self) -> Result<(), Over> {
        if self.transaction.is_some() && !self.stuttered {
            self.world.wrong(format_args!("{}: a second message before the first was settled", self.who));
        }
        if self.dice.chance(self.temper.bounce / 4) {
            return self.reply("451 not now").await;
        }
        if self.too_fast(Step::Mail).await? {
            return Ok(());
        }
        self.transaction = Some(None);
        self.reply("250 2.1.0 go on").await
    }

    /// Whether a message is one too many at this step. It is told so, and the connection is over where that is a 421.
    async fn too_fast(&mut self, step: Step) -> Result<bool, Over> {
        let Some(pace) = self.temper.pace.filter(|pace| pace.at == step) else { return Ok(false) };
        let now = self.world.elapsed();
        let takes = {
            let mut facts = self.world.facts();
            facts.meters.entry(self.place).or_insert_with(|| Meter::new(pace.allowed)).takes(now)
        };
        if takes {
            return Ok(false);
        }
        self.world.reach("too fast", 1);
        self.reply(pace.reply).await?;
        if pace.reply.starts_with("421") { Err(Over) } else { Ok(true) }
    }

    async fn rcpt(&mut self, line: &str) -> Result<(), Over> {
        let name = name(line).expect("recipients are rows");
        let Some(None) = self.transaction else { return self.reply("503 MAIL first").await };
        if self.too_fast(Step::Rcpt).await? {
            return Ok(());
        }
        let before = {
            let mut facts = self.world.facts();
            let before = facts.greylisted.entry(name).or_default();
            *before += 1;
            *before
        };
        if before <= self.temper.greylist {
            return self.reply("450 4.7.1 come again").await;
        }
        if self.dice.chance(self.temper.bounce) {
            self.world.refused(name);
            return self.reply("550 5.1.1 nobody").await;
        }
        self.transaction = Some(Some(name));
        self.reply("250 2.1.5 go on").await
    }

    async fn data(&mut self) -> Result<(), Over> {
        match self.transaction {
            None => self.reply("503 MAIL first").await,
            // RFC 2920 section 3.1: some take DATA without a recipient.
            Some(None) if self.dice.chance(300) => {
                self.reply("354 go on").await?;
                self.content().await?;
                self.transaction = None;
                self.reply("554 for nobody").await
            }
            Some(None) => self.reply("554 for nobody").await,
            Some(Some(name)) => {
                self.reply("354 go on").await?;
                let content = self.content().await?;
                self.message(name, &content).await
            }
        }
    }

    /// The whole message in one chunk (RFC 3030).
    async fn chunk(&mut self, line: &str) -> Result<(), Over> {
        let size = line.strip_prefix("BDAT ").and_then(|rest| rest.strip_suffix(" LAST")?.parse().ok());
        let mut content = vec![0; size.expect("messages are one chunk")];
        let patience = self.dice.millis(2000..60_000);
        timeout(patience, self.stream.read_exact(&mut content)).await.map_err(|_| Over)?.map_err(|_| Over)?;
        match self.transaction {
            Some(Some(name)) => self.message(name, &String::from_utf8_lossy(&content)).await,
            _ => self.reply("503 5.5.1 for nobody").await,
        }
    }

    /// A message is here: it is the recipient's, it was marked, and what became of the one before it was written down first.
    async fn message(&mut self, name: Name, content: &str) -> Result<(), Over> {
        let (run, ordinal) = name;
        if !content.contains(&format!("r{run}x{ordinal}@")) {
            self.world.wrong(format_args!("{}: {name:?} got another's message", self.who));
        }
        // Whose replies were counted wrong may have left by now, in doubt.
        if self.world.started(name).is_none() && !self.stuttered {
            self.world.wrong(format_args!("{}: {name:?} came without a mark", self.who));
        }
        let before = self.last.replace((name, self.world.now()));
        if let Some((before, then)) = before {
            // Later than that it is on its way again, over another connection.
            if self.world.started(before).is_some_and(|at| at <= then) {
                self.world.wrong(format_args!("{}: {name:?} came before {before:?} was settled", self.who));
            }
        }
        self.transaction = None;
        self.final_dot(name).await?;
        if self.dice.chance(self.temper.forget) {
            let lost = self.stream.buffer().len();
            self.stream.consume(lost);
            self.forgot |= lost > 0;
            self.world.reach("forgot", u64::from(lost > 0));
        }
        Ok(())
    }

    /// The message is here: who is responsible for it now?
    async fn final_dot(&mut self, name: Name) -> Result<(), Over> {
        if self.too_fast(Step::Message).await? {
            return Ok(());
        }
        // Nowhere does more depend on what goes wrong.
        let worse = self.dice.chance(self.temper.mishap);
        let mishap = if worse { self.dice.pick(&MISHAPS) } else { self.mishap() };
        if mishap == Mishap::Nothing && self.dice.chance(self.temper.bounce) {
            let reply = self.dice.pick(&["452 4.3.1 full", "554 5.7.1 spam"]);
            if reply.starts_with('5') {
                self.world.refused(name);
            }
            return self.say(reply, mishap).await;
        }
        if mishap == Mishap::Closing || self.dice.chance(500) && mishap == Mishap::Cut {
            // Not taken.
            return self.say("250 2.0.0 taken", mishap).await;
        }
        self.world.took(&self.who, (self.place.0, self.from), name);
        self.say("250 2.0.0 taken", mishap).await?;
        // Whose replies were counted wrong does not know it for sure.
        if self.stuttered {
            self.world.muddled(name)
        } else {
            self.world.told(name)
        }
        Ok(())
    }

    async fn content(&mut self) -> Result<String, Over> {
        let mut content = String::new();
        loop {
            let line = self.read().await?;
            if line == "." {
                return Ok(content);
            }
            content.push_str(&line);
            content.push('\n');
        }
    }

    fn mishap(&mut self) -> Mishap {
        if self.dice.chance(self.temper.mishap) { self.dice.pick(&MISHAPS) } else { Mishap::Nothing }
    }

    async fn reply(&mut self, reply: &str) -> Result<(), Over> {
        let mishap = self.mishap();
        self.say(reply, mishap).await
    }

    /// Says `reply`, unless something goes wrong.
    async fn say(&mut self, reply: &str, mishap: Mishap) -> Result<(), Over> {
        sleep(self.dice.millis(0..self.temper.slow)).await;
        self.world.say(&self.who, format_args!("{reply:?} {mishap:?}"));
        match mishap {
            Mishap::Nothing => {
                if self.stuttered || !self.dice.chance(self.temper.stutter) {
                    return self.write(reply).await;
                }
                self.stuttered = true;
                self.world.reach("said twice", 1);
                self.world.say(&self.who, "the same again");
                return self.write(&format!("{reply}\r\n{reply}")).await;
            }
            Mishap::Cut => {}
            Mishap::HalfCut => self.octets(&reply.as_bytes()[..2]).await?,
            Mishap::HalfThenRest => {
                self.octets(&reply.as_bytes()[..2]).await?;
                sleep(Duration::from_millis(300)).await;
                return self.write(&reply[2..]).await;
            }
            Mishap::Silence => sleep(PATIENCE * 2).await,
            Mishap::Garbage => self.write("well").await?,
            Mishap::Closing => self.write("421 going down").await?,
        }
        Err(Over)
    }

    async fn write(&mut self, reply: &str) -> Result<(), Over> {
        self.octets(format!("{reply}\r\n").as_bytes()).await
    }

    async fn octets(&mut self, octets: &[u8]) -> Result<(), Over> {
        self.stream.get_mut().write_all(octets).await.map_err(|_| Over)
    }

    /// A line; a server tires of a silent client.
    async fn read(&mut self) -> Result<String, Over> {
        let patience = self.dice.millis(2000..60_000);
        let mut line = String::new();
        match timeout(patience, self.stream.read_line(&mut line)).await {
            Ok(Ok(1..)) if line.ends_with("\r\n") => {
                line.truncate(line.len() - 2);
                Ok(line)
            }
            Ok(_) => Err(Over),
            Err(_) => {
                self.world.say(&self.who, "421 too slow");
                self.write("421 too slow").await?;
                Err(Over)
            }
        }
    }
}

/// The row of `RCPT TO:<r0x17@d1.example>`.
fn name(line: &str) -> Option<Name> {
    let local = line.split_once('<')?.1.split_once('@')?.0;
    let (run, ordinal) = local.strip_prefix('r')?.split_once('x')?;
    Some((run.parse().ok()?, ordinal.parse().ok()?))
}
