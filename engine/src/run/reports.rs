//! Sends TLS reports: beside the runs of an engine, or by command where no engine is at work.
//!
//! A report is due when its UTC day is over, plus up to four hours, which differ from domain to domain (RFC 8460 section 4.1).
//! What is not taken is sent again each hour, for a day (section 5.5). The store says how far each has come, so that the next
//! engine goes on; a report that an engine was sending when it stopped is sent again, under the same id.

use super::engine::Engine;
use super::feeders::thread;
use super::{Error, Machinery, offline, setup};
use crate::clock::{Day, Timestamp};
use crate::plan::Machine;
use crate::queue::Stop;
use crate::smtp::Connector;
use crate::store::Store;
use crate::tlsrpt::{Book, Page, Place, Postman, Report};
use std::cell::Cell;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::timeout;

/// How often counts go to the store, and reports that are due are looked for.
const ROUND: Duration = Duration::from_secs(30);
/// Reports sent at once: a receiver that says nothing holds up its own.
const AT_ONCE: usize = 16;
/// How soon a new engine looks for reports that are overdue.
const FIRST: Duration = Duration::from_secs(2);
/// Over how long the reports of a day are spread.
const SPREAD: Duration = Duration::from_secs(4 * 3600);
/// Between two tries.
const AGAIN: Duration = Duration::from_secs(3600);
/// How long a report is tried.
const TRIED_FOR: Duration = Duration::from_secs(24 * 3600);
/// How old a day may be whose report nobody has tried to send: no engine was at work since.
const STALE: Duration = Duration::from_secs(7 * 24 * 3600);

/// What became of a report at one place.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The report.
    pub report: Report,
    /// Its day.
    pub day: Day,
    /// Where it is wanted.
    pub to: Place,
    /// Why it was not taken; `None` where it was, or where nothing was sent.
    pub refusal: Option<String>,
}

/// What sends reports of an engine, if `[tls.reports]` is there.
pub(super) fn postman(gear: &Machinery, connector: &Connector) -> Result<Option<Postman>, Error> {
    let Some(machine) = &gear.machine else { return Ok(None) };
    let Some(sender) = machine.reports.clone() else { return Ok(None) };
    let signer = setup::signer_of(machine, sender.from.domain(), TRIED_FOR)?;
    // `Machine` has at least one.
    let source = machine.sources.first().cloned().ok_or_else(|| Error::Internal("no source".into()))?;
    let access = (source, gear.relay.clone());
    Ok(Some(Postman::new(gear.resolver.clone(), connector.clone(), access, signer, sender)))
}

/// Counts and sends until the engine stops.
pub(super) fn start(book: Arc<Book>, postman: Postman, stop: watch::Receiver<Stop>) -> Result<JoinHandle<()>, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|cause| Error::Internal(format!("can't start reports: {cause}")))?;
    // Sessions are driven on one thread, as in a shard.
    thread("reports", move || LocalSet::new().block_on(&runtime, work(&book, postman, stop)))
}

async fn work(book: &Arc<Book>, postman: Postman, mut stop: watch::Receiver<Stop>) {
    // Sessions before this are in the store: what is sent is whole, however long the last round of sending has taken.
    let (counted, written) = (Cell::new(Timestamp(0)), Notify::new());
    let counting = async {
        let mut wait = FIRST;
        loop {
            tokio::time::sleep(std::mem::replace(&mut wait, ROUND)).await;
            let before = book.now();
            // Name servers that say nothing must not keep counts out of the store: those domains are asked once more before a
            // report goes out.
            timeout(ROUND, book.ask()).await.ok();
            book.write();
            counted.set(before);
            written.notify_one();
        }
    };
    let postman = Rc::new(postman);
    let sending = async {
        loop {
            written.notified().await;
            if let Err(error) = send_due(book, &postman, counted.get()).await {
                tracing::warn!(%error, "TLS reports can't be read or written");
            }
        }
    };
    tokio::select! {
        biased;
        _ = stop.wait_for(|stop| *stop != Stop::No) => {}
        () = counting => {}
        () = sending => {}
    }
}

/// Sends what is due of days of which everything was counted by then.
async fn send_due(book: &Arc<Book>, postman: &Rc<Postman>, counted: Timestamp) -> Result<(), Error> {
    let over = Page::of_days(book.store(), |day| day.end() <= counted)?;
    let mut due = over.into_iter().filter(|page| is_due(page, counted));
    let mut sending = JoinSet::new();
    loop {
        for page in due.by_ref().take(AT_ONCE - sending.len()) {
            let (book, postman) = (book.clone(), postman.clone());
            sending.spawn_local(async move { send(book.store(), &postman, page, book.now()).await });
        }
        let Some(sent) = sending.join_next().await else { return Ok(()) };
        sent.unwrap_or_else(|broken| std::panic::resume_unwind(broken.into_panic()))?;
    }
}

fn is_due(page: &Page, now: Timestamp) -> bool {
    let mut hasher = DefaultHasher::new();
    (&page.domain, page.day).hash(&mut hasher);
    let spread = Duration::from_secs(hasher.finish() % SPREAD.as_secs());
    let again = page.tries().is_none_or(|(_, last)| now >= last.after(AGAIN));
    now >= page.day.end().after(spread) && again
}

/// Whether this try is the last.
fn is_over(page: &Page, now: Timestamp) -> bool {
    match page.tries() {
        Some((first, _)) => now >= first.after(TRIED_FOR),
        None => now >= page.day.end().after(STALE),
    }
}

/// Sends the report of a day that is over to where it is wanted and not yet taken. When nobody is left its page is removed.
async fn send(store: &Store, postman: &Postman, mut page: Page, now: Timestamp) -> Result<Vec<Sent>, Error> {
    let report = Report::of(&page, postman.sender(), now);
    let mut done = Vec::new();
    let stale = is_over(&page, now);
    page.try_at(now);
    let places = match postman.places(&page.domain).await {
        Ok(places) => places,
        Err(_) if !stale => return page.write(store).map(|()| done).map_err(Error::from),
        Err(_) => Vec::new(),
    };
    let mut left = false;
    for to in places {
        if page.has(&to) {
            continue;
        }
        let refusal = postman.deliver(&report, &to, now).await.err();
        log(&to, refusal.as_ref().map(ToString::to_string).as_deref());
        if refusal.as_ref().is_none_or(crate::tlsrpt::Undeliverable::is_final) {
            page.settled(&to);
            // At once: an engine that stops at the next place must not send it here again.
            page.write(store)?;
        } else {
            left = true;
        }
        let (report, day, refusal) = (report.clone(), page.day, refusal.map(|refusal| refusal.to_string()));
        done.push(Sent { report, day, to, refusal });
    }
    if left && !stale {
        page.write(store)?
    } else {
        page.forget(store)?
    }
    Ok(done)
}

/// Neither domain nor place is named: it may be somebody's own.
fn log(to: &Place, refusal: Option<&str>) {
    let by = if matches!(to, Place::Mail(_)) { "mail" } else { "https" };
    match refusal {
        None => tracing::info!(by, "a TLS report was taken"),
        Some(why) => tracing::info!(by, why, "a TLS report was not taken"),
    }
}

/// What `sealpost tls report` is to do.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    /// Of this day alone. Of a day that is not over the report so far is sent, and the whole one when it is.
    pub day: Option<Day>,
    /// Only say what would be sent.
    pub dry_run: bool,
}

/// Sends reports now, or says what would be sent: in a `store` that was opened for reading, or, without one, in the machine's,
/// whose lock must be free.
///
/// # Errors
/// An engine is at work, there is no `[tls.reports]`, or the store can't be read or written.
pub fn send_now(machine: &Machine, store: Option<&Store>, order: Order, now: Timestamp) -> Result<Vec<Sent>, Error> {
    let gear = Machinery::of(machine)?;
    let connector = Connector::new(&gear.roots, gear.identity.as_ref())?;
    let postman = postman(&gear, &connector)?.ok_or_else(|| Error::NoReports { machine: machine.path.clone() })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|cause| Error::Internal(format!("can't send reports: {cause}")))?;
    let taken;
    let store = match store {
        Some(store) => store,
        None => {
            taken = offline::take(&machine.state_dir)?;
            &taken.1
        }
    };
    runtime.block_on(async {
        let mut done = Vec::new();
        for page in Page::of_days(store, |day| order.day.map_or(now >= day.end(), |wanted| wanted == day))? {
            let so_far = now < page.day.end();
            if order.dry_run || so_far {
                done.extend(show(&postman, &page, order.dry_run, now).await);
            } else {
                done.extend(send(store, &postman, page, now).await?);
            }
        }
        Ok(done)
    })
}

/// The report as it stands, sent or not, with nothing written down.
async fn show(postman: &Postman, page: &Page, dry_run: bool, now: Timestamp) -> Vec<Sent> {
    let report = Report::of(page, postman.sender(), now);
    let mut done = Vec::new();
    for to in postman.places(&page.domain).await.unwrap_or_default() {
        let sent = if dry_run { Ok(()) } else { postman.deliver(&report, &to, now).await };
        let refusal = sent.err().map(|refusal| refusal.to_string());
        done.push(Sent { report: report.clone(), day: page.day, to, refusal });
    }
    done
}

impl Engine {
    /// Writes down what was counted last, as far as the disk takes it.
    pub(super) fn close_book(&self) {
        if let Some(reports) = self.reports.lock().expect("no holder panics").take() {
            reports.join().ok();
        }
        self.book.iter().for_each(|book| book.write());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::mail::Address;
    use crate::resolve::{Addresses, Answer, Mx, MxHost, NoAddress, NoRoute, Resolver};
    use crate::sign::Signer;
    use crate::smtp::{Access, Root, Source};
    use crate::store::Settings;
    use crate::tlsrpt::Sender;
    use std::sync::atomic::{AtomicU64, Ordering};

    const HOUR: Duration = Duration::from_secs(3600);

    /// Nobody wants a report; how often that was asked is counted.
    #[derive(Default)]
    struct Uninterested(AtomicU64);

    impl Resolver for Uninterested {
        fn mx<'a>(&'a self, _: &'a str) -> Answer<'a, Result<Mx, NoRoute>> {
            Box::pin(async { Err(NoRoute::NoMailHost) })
        }

        fn addresses<'a>(&'a self, _: &'a MxHost) -> Answer<'a, Result<Addresses, NoAddress>> {
            Box::pin(async { Err(NoAddress::None) })
        }

        fn txt<'a>(&'a self, _: &'a str) -> Answer<'a, Result<Vec<String>, NoRoute>> {
            self.0.fetch_add(1, Ordering::SeqCst);
            Box::pin(async { Ok(Vec::new()) })
        }
    }

    struct At(Timestamp);

    impl Clock for At {
        fn now(&self) -> Timestamp {
            self.0
        }
    }

    fn postman(resolver: Arc<dyn Resolver>) -> Postman {
        let root = rcgen::generate_simple_self_signed(vec!["ca.example".into()]).expect("a certificate");
        let connector = Connector::new(&[Root::Der(root.cert.der().to_vec())], None).expect("a connector");
        let source = Source { name: "a".into(), ehlo: "out.acme.example".into(), ipv4: None, ipv6: None };
        let from = Address::parse("tls@acme.example").expect("an address");
        let sender = Sender { organization: "Acme".into(), contact: "tls@acme.example".into(), from };
        let signer = Signer::new("acme.example", Vec::new(), HOUR);
        Postman::new(resolver, connector, (source, Access::default()), signer, sender)
    }

    /// A round of sending that began before midnight lasts into the morning: what was counted meanwhile is not in its pages.
    #[test]
    fn no_report_goes_out_before_all_of_its_day_is_in_the_store() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Arc::new(Store::open(folder.path(), &Settings::default()).expect("a store"));
        let resolver = Arc::new(Uninterested::default());
        let day = Day::parse("2026-11-22").expect("a day");
        Page::empty(day, "a.example").write(&store).expect("written");
        let now = day.end().after(HOUR * 5);
        let book = Arc::new(Book::new(store.clone(), resolver.clone(), Arc::new(At(now))));
        let postman = Rc::new(postman(resolver.clone()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let after = |counted| {
            LocalSet::new().block_on(&runtime, send_due(&book, &postman, counted)).expect("sent");
            (Page::all(&store).expect("readable").len(), resolver.0.load(Ordering::SeqCst))
        };
        assert_eq!(after(Timestamp(day.end().0 - 1)), (1, 0));
        assert_eq!(after(now), (0, 1), "it is asked about, and nobody wants it");
    }

    #[test]
    fn when_a_report_is_due_and_for_the_last_time() {
        let day = Day::parse("2026-11-22").expect("a day");
        let page = |at: u32| Page::empty(day, &format!("d{at}.example"));
        let at = |hours: u32| day.end().after(HOUR * hours);
        let due = |hours| (0..100).filter(|number| is_due(&page(*number), at(hours))).count();
        assert_eq!((due(0), due(4)), (0, 100), "none before its day is over, all four hours after it");
        assert!((20..80).contains(&due(2)), "spread over these hours: {}", due(2));
        let mut page = page(0);
        assert!(!is_over(&page, at(7 * 24 - 1)) && is_over(&page, at(7 * 24)), "nobody was at work");
        page.try_at(at(5));
        assert!(!is_due(&page, at(5)) && is_due(&page, at(6)));
        page.try_at(at(6));
        assert!(!is_due(&page, at(6)) && is_due(&page, at(7)), "an hour after the last try");
        assert!(!is_over(&page, at(28)) && is_over(&page, at(29)), "a day after the first");
    }
}
