//! The engine's Unix socket: how other commands ask the one engine of a state directory.

mod wire;

pub use wire::{Commands, ConditionView, EngineView, Refusal, RunState, RunView, Submit, Target};
