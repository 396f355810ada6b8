//! What goes out sealed, what in clear, and what not at all: by what receivers saw on the wire.

mod case;
mod matrix;
mod papers;
mod policies;
mod receiver;
mod shared;
mod stage;
mod stripper;
mod table;
mod thirty;
