//! Rows to delivered, accounted messages. The modules in the order in which a row meets them:
//!
//! `plan` says what to do · `run` starts it · `gate` may it get its message? · `route` where to · `queue` a shard's backlogs,
//! sessions and ready messages · `render` the message · `sign` its signatures · `smtp` the conversation · `settle` how it
//! ended · `retry` when again · `store` what survives · `report` who did not get it, and why. Beside it: `resolve` asks the DNS,
//! `shaping` says who belongs to which provider and how fast that may be sent to, `sts` asks domains for their MTA-STS policies,
//! `warmup` bounds what new addresses of ours send a day, `tlsrpt` tells domains how TLS fared, `probe` looks at hosts without
//! sending.
//!
//! Layers, downwards only (`tests/layering.rs` checks): words `clock condition mail metrics secret` ← mechanisms `render resolve retry sandbox
//! shaping sign smtp store sts warmup` ← decisions `gate probe queue route settle standing throttle tlsrpt` ← assembly `control plan report run`.

pub mod control;
pub mod plan;
pub mod run;

pub mod gate;
pub mod probe;
pub mod route;

pub mod queue;
pub mod settle;
pub mod standing;
pub mod throttle;
pub mod tlsrpt;

pub mod render;
pub mod sign;

pub mod smtp;

pub mod retry;
pub mod store;

pub mod report;
pub mod resolve;
pub mod sandbox;
pub mod shaping;
pub mod sts;
pub mod warmup;

pub mod clock;
pub mod condition;
pub mod mail;
pub mod metrics;
pub mod secret;
