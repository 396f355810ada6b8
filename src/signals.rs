//! SIGINT and SIGTERM: the first asks to stop, the second stops at once. SIGHUP: read the shaping rules again, where an engine is
//! ours; where none is, or the terminal that started us has gone, it ends the process as it ever did.

use crate::failure::{Failure, ROWS_LEFT};
use engine::run::Engine;
use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use tokio::signal::unix::{SignalKind, signal};

/// What is said at a signal.
#[derive(Clone, Copy)]
pub struct Words {
    /// At the first, which only sets the flag.
    pub first: &'static str,
    /// At the second, which ends the process.
    pub second: &'static str,
}

/// Where the messages on the wire are ours.
pub const OURS: Words = Words {
    first: "stopping: messages on the wire are finished first; once more to stop at once",
    second: "stopped at once; rows on the wire are in doubt and will be listed",
};

/// Where another process sends them.
pub const THEIRS: Words = Words { first: "detaching", second: "detached; the run goes on (sealpost status)" };

/// Ends the process with that code, whatever its other threads are at. Nothing is torn down: C's exit handlers and the
/// destructors of RocksDB's statics would run under the threads that still have the store open, which crashes at random. What
/// was acknowledged is in the WAL already.
pub fn end(code: u8) -> ! {
    std::io::stdout().flush().ok();
    signal_hook::low_level::exit(i32::from(code))
}

/// Watches for signals.
pub struct Signals {
    asked: Arc<AtomicBool>,
    words: Arc<Mutex<Words>>,
    engine: Arc<Mutex<Weak<Engine>>>,
}

impl Signals {
    /// From now on signals don't end the process; the first asks it to end.
    ///
    /// # Errors
    /// The handlers can't be installed.
    pub fn watch(words: Words) -> Result<Signals, Failure> {
        let signals = Signals { asked: Arc::default(), words: Arc::new(Mutex::new(words)), engine: Arc::default() };
        let (flag, words, engine) = (signals.asked.clone(), signals.words.clone(), signals.engine.clone());
        let terminal = has_terminal();
        let fail = |error: std::io::Error| Failure::internal(format!("signals: {error}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(fail)?;
        let [mut interrupt, mut terminate, mut hang_up] = {
            let _guard = runtime.enter();
            let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
            let [interrupt, terminate, hang_up] = kinds.map(signal);
            [interrupt.map_err(fail)?, terminate.map_err(fail)?, hang_up.map_err(fail)?]
        };
        let work = async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    _ = hang_up.recv() => {
                        let engine = engine.lock().expect("no holder panics").upgrade();
                        match engine.filter(|_| !terminal || has_terminal()) {
                            Some(engine) => read_rules_again(&engine),
                            None => _ = signal_hook::low_level::emulate_default_handler(SignalKind::hangup().as_raw_value()),
                        }
                        continue;
                    }
                }
                let words = *words.lock().expect("no holder panics");
                if flag.swap(true, Ordering::SeqCst) {
                    eprintln!("{}", words.second);
                    end(ROWS_LEFT);
                }
                eprintln!("{}", words.first);
            }
        };
        std::thread::Builder::new().name("signals".into()).spawn(move || runtime.block_on(work)).map_err(fail)?;
        Ok(signals)
    }

    /// What is said from now on.
    pub fn say(&self, words: Words) {
        *self.words.lock().expect("no holder panics") = words;
    }

    /// From now on SIGHUP is for this engine, as long as it lives.
    pub fn serve(&self, engine: &Arc<Engine>) {
        *self.engine.lock().expect("no holder panics") = Arc::downgrade(engine);
    }

    /// Whether one has come.
    pub fn asked(&self) -> bool {
        self.asked.load(Ordering::SeqCst)
    }
}

/// Whether somebody may be looking at us. A terminal that was closed is none any more, and what is written there fails.
fn has_terminal() -> bool {
    std::io::stdin().is_terminal() || std::io::stdout().is_terminal() || std::io::stderr().is_terminal()
}

/// The engine itself logs what is wrong with them.
fn read_rules_again(engine: &Engine) {
    if let Ok(Some(rules)) = engine.read_rules_again() {
        eprintln!("shaping rules were read again: {}, {} providers", rules.path().display(), rules.providers().len());
    }
}
