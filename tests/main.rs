//! End to end: the real binary against real and scripted servers. One module a family of scenarios, one test a scenario.

mod attach;
mod bad_input;
mod canary;
mod commands;
mod damage;
mod dns;
mod dnssec;
mod durability;
mod greylist;
mod inputs;
mod layering;
mod letters;
mod metrics;
mod peers;
mod postfix;
mod reference;
mod resources;
mod resume;
mod smarthost;
mod standing;
mod steering;
mod support;
mod transport;
