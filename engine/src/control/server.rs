//! The engine's side: serves its commands at `<state_dir>/socket`.

use super::door::Door;
use super::{Commands, Probe, Refusal, Submit, Target};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path as Segment, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use rustix::fs::{Mode, fchmod};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::{UnixListener, UnixSocket};
use tokio::sync::oneshot;

/// What answers other commands; the file is gone and nobody is answered any more once it is dropped. Drop it while the state
/// directory's lock is still held: afterwards the file may be the next engine's.
pub struct Socket {
    door: Door,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// A request is a path and a few flags.
const LARGEST_REQUEST: usize = 64 << 10;
/// Requests at work at once; each holds a thread, since a command may wait for the store or open an input.
const AT_WORK: usize = 16;
/// Connections that wait to be taken up.
const BACKLOG: u32 = 128;
/// How long a request at work may take once the engine ends: whoever asked for that wants its answer.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

impl Socket {
    /// Serves `commands`. The caller holds the lock of `state_dir`, so that a socket found there is a dead engine's.
    ///
    /// # Errors
    /// The socket can't be made there, or the thread not be started.
    pub fn start(state_dir: &Path, commands: Arc<dyn Commands>) -> io::Result<Socket> {
        let door = Door::of(state_dir)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .thread_name("command")
            .max_blocking_threads(AT_WORK)
            .build()?;
        let listener = {
            let _guard = runtime.enter();
            listen(door.path())?
        };
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("socket".into()).spawn(move || {
            runtime.block_on(serve(listener, routes(commands), stopped));
            // A command that opens an input may still be at it; the process that ends now does not wait for that.
            runtime.shutdown_background();
        });
        match thread {
            Ok(thread) => Ok(Socket { door, stop: Some(stop), thread: Some(thread) }),
            Err(cause) => {
                std::fs::remove_file(door.path()).ok();
                Err(cause)
            }
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // First the name, so that whoever comes now waits for the lock instead of an answer.
        if let Err(error) = std::fs::remove_file(self.door.path()) {
            tracing::warn!(%error, "the socket's file is not removed");
        }
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// A listener at `path`, for the owner alone from its first moment: bind(2) gives the file the mode of the socket itself
/// (Linux's `unix_bind_bsd`), which nobody can reach before it is bound.
fn listen(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause),
        _ => {}
    }
    let socket = UnixSocket::new_stream()?;
    fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    socket.bind(path)?;
    socket.listen(BACKLOG)
}

async fn serve(listener: UnixListener, routes: Router, stopped: oneshot::Receiver<()>) {
    let (wind_down, winding_down) = oneshot::channel::<()>();
    let graceful = axum::serve(listener, routes).with_graceful_shutdown(async {
        winding_down.await.ok();
    });
    let last_answers = async {
        stopped.await.ok();
        drop(wind_down);
        tokio::time::sleep(LAST_ANSWERS).await;
    };
    tokio::select! {
        served = graceful.into_future() => if let Err(error) = served {
            tracing::error!(%error, "commands are no longer taken");
        },
        () = last_answers => {}
    }
}

fn routes(commands: Arc<dyn Commands>) -> Router {
    Router::new()
        .route("/view", get(|State(engine): State<Engine>| on_a_thread(move || Ok(engine.view()))))
        .route(
            "/runs/{run}",
            get(|State(engine): State<Engine>, Segment(run): Segment<String>| on_a_thread(move || engine.run(&run))),
        )
        .route(
            "/submit",
            post(|State(engine), body| with::<Submit, _>(engine, body, |engine, ask| engine.submit(&ask))),
        )
        .route("/pause", post(|State(engine), body| with::<Target, _>(engine, body, |engine, ask| engine.pause(&ask))))
        .route(
            "/resume",
            post(|State(engine), body| with::<Target, _>(engine, body, |engine, ask| engine.resume(&ask))),
        )
        .route(
            "/cancel",
            post(|State(engine), body| with::<Target, _>(engine, body, |engine, ask| engine.cancel(&ask))),
        )
        .route("/probe", post(|State(engine), body| with::<Probe, _>(engine, body, |engine, ask| engine.probe(&ask))))
        .route("/drain", post(drain))
        .layer(DefaultBodyLimit::max(LARGEST_REQUEST))
        .with_state(commands)
}

type Engine = Arc<dyn Commands>;

async fn drain(State(engine): State<Engine>) -> Response {
    on_a_thread(move || {
        engine.drain();
        Ok(())
    })
    .await
}

/// Reads what is asked, and asks it of the engine.
async fn with<Ask: DeserializeOwned + Send + 'static, Answer: Serialize + Send + 'static>(
    engine: Engine,
    body: Bytes,
    work: impl FnOnce(Engine, Ask) -> Result<Answer, Refusal> + Send + 'static,
) -> Response {
    match serde_json::from_slice(&body) {
        Ok(ask) => on_a_thread(move || work(engine, ask)).await,
        Err(error) => answer(StatusCode::BAD_REQUEST, &Refusal::usage(format!("the request makes no sense: {error}"))),
    }
}

/// Carries a command out on a thread of its own. It ends even if the one who asked has gone.
async fn on_a_thread<Answer: Serialize + Send + 'static>(
    work: impl FnOnce() -> Result<Answer, Refusal> + Send + 'static,
) -> Response {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(done)) => answer(StatusCode::OK, &done),
        Ok(Err(refusal)) => answer(StatusCode::CONFLICT, &refusal),
        Err(_) => answer(
            StatusCode::INTERNAL_SERVER_ERROR,
            &Refusal { what: "internal: a command panicked".into(), hint: None, code: 70 },
        ),
    }
}

fn answer(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(body) => (status, [(CONTENT_TYPE, "application/json")], body).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
