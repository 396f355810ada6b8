//! Whether the DNS is gone, or only some domain's servers.
//!
//! Comes in: how look-ups end, and how a *control* ends: a question about a domain of ours, which is there for certain and
//! whose answer is in nobody's cache. Promise: no row pays with an attempt for name servers of ours that are gone, and no
//! domain's broken servers hold up another domain.
//!
//! | state | look-up gets through | look-up fails | control gets through | control fails | nothing more is under way |
//! |---|---|---|---|---|---|
//! | *well* | - | -> *unsure*, hold | - | - | - |
//! | *unsure* | -> *well*, believe | hold; [`SEVERAL`] and the control failed: -> *gone* | -> *well*, believe | [`SEVERAL`]: -> *gone* | control failed: -> *well*, believe |
//! | *gone* | -> *well*, ask again | hold | -> *well*, ask again | - | - |
//!
//! *Hold* parks the domain's rows; *believe* settles the held ones by what was found, *ask again* looks them up anew. A
//! failure is never believed while *gone*: the way out is an answer. Lack of descriptors is *gone* at once, whoever is asked.
//! A bogus answer is a failure like another: where it is one domain's, the control gets through, which takes the root's word for
//! ours if ours is bogus too.

use crate::resolve::NoRoute;
use std::collections::VecDeque;

/// What is known of the DNS.
#[derive(Debug, Default)]
pub(super) struct Outage {
    /// Domains that could not be looked up since something last got through, the longest failed first.
    held: VecDeque<(String, NoRoute)>,
    control: Control,
    gone: bool,
    era: u64,
}

/// The control of this doubt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Control {
    #[default]
    NotAsked,
    UnderWay,
    Failed,
}

/// What becomes of the domains that were held.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ruling {
    /// Nothing yet.
    Wait,
    /// They have no route for now, as was found.
    Believe(Vec<(String, NoRoute)>),
    /// The DNS is back: they are to be looked up anew.
    AskAgain(Vec<String>),
}

/// Domains that fail before the DNS is held for gone, besides the control.
const SEVERAL: usize = 2;

impl Outage {
    /// Whether no name server answers.
    pub(super) fn is_gone(&self) -> bool {
        self.gone
    }

    /// Whether name servers do answer, and nothing that they say can be validated.
    pub(super) fn is_bogus(&self) -> bool {
        self.gone && self.held.iter().all(|(_, trouble)| *trouble == NoRoute::Bogus)
    }

    fn holds(&self, domain: &str) -> bool {
        self.held.iter().any(|(held, _)| held == domain)
    }

    /// How often the DNS came back so far. A failure of a question that was asked in an earlier era says nothing of this one.
    pub(super) fn era(&self) -> u64 {
        self.era
    }

    /// Whether the control is to be asked now; whoever asks it reports [`control`](Outage::control).
    pub(super) fn wants_control(&mut self) -> bool {
        let wanted = !self.held.is_empty() && !self.gone && self.control == Control::NotAsked;
        if wanted {
            self.control = Control::UnderWay;
        }
        wanted
    }

    /// The domain to be looked up once more while the DNS is gone; each in its turn, so that a dead one does not stand in the
    /// way of the others.
    pub(super) fn turn(&mut self) -> Option<String> {
        self.held.rotate_left(usize::from(self.held.len() > 1));
        self.held.front().map(|(domain, _)| domain.clone())
    }

    /// A look-up got through, whatever it found.
    pub(super) fn got_through(&mut self) -> Ruling {
        let was_gone = self.gone;
        let before = std::mem::take(self);
        self.era = before.era + u64::from(was_gone);
        let held = before.held;
        match (held.is_empty(), was_gone) {
            (true, _) => Ruling::Wait,
            (false, false) => Ruling::Believe(held.into()),
            (false, true) => Ruling::AskAgain(held.into_iter().map(|(domain, _)| domain).collect()),
        }
    }

    /// The look-up of `domain` failed for now; its rows are held until a ruling says more.
    pub(super) fn failed(&mut self, domain: &str, trouble: NoRoute) -> Ruling {
        if !self.holds(domain) {
            self.held.push_back((domain.to_owned(), trouble));
        }
        self.gone |= trouble == NoRoute::Exhausted;
        self.judge()
    }

    /// The control ended: whether anything was said.
    pub(super) fn control(&mut self, through: bool) -> Ruling {
        if through {
            return self.got_through();
        }
        if self.control == Control::UnderWay {
            self.control = Control::Failed;
        }
        self.judge()
    }

    /// No look-up is under way: there will be no further evidence.
    pub(super) fn nothing_under_way(&mut self) -> Ruling {
        if self.gone || self.control != Control::Failed { Ruling::Wait } else { self.got_through() }
    }

    fn judge(&mut self) -> Ruling {
        self.gone |= self.control == Control::Failed && self.held.len() >= SEVERAL;
        Ruling::Wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failing(domains: &[&str]) -> Outage {
        let mut outage = Outage::default();
        for domain in domains {
            assert_eq!(outage.failed(domain, NoRoute::TimedOut), Ruling::Wait);
        }
        outage
    }

    fn believed(domains: &[&str]) -> Ruling {
        Ruling::Believe(domains.iter().map(|domain| ((*domain).to_owned(), NoRoute::TimedOut)).collect())
    }

    #[test]
    fn one_domain_with_broken_servers_is_its_own_affair() {
        let mut outage = failing(&["a.example"]);
        assert!(outage.wants_control() && !outage.wants_control(), "asked once");
        assert_eq!(outage.nothing_under_way(), Ruling::Wait, "the control is under way");
        assert_eq!(outage.control(true), believed(&["a.example"]));
        assert!(!outage.wants_control() && !outage.holds("a.example"));
        let mut alone = failing(&["a.example"]);
        assert!(alone.wants_control());
        assert_eq!(alone.control(false), Ruling::Wait);
        assert!(!alone.is_gone(), "one domain and the control are not several");
        assert_eq!(alone.nothing_under_way(), believed(&["a.example"]));
    }

    #[test]
    fn a_tail_of_dead_domains_is_no_outage() {
        let mut outage = failing(&["a.example", "b.example", "c.example"]);
        assert!(outage.wants_control());
        assert_eq!(outage.control(true), believed(&["a.example", "b.example", "c.example"]));
        assert!(!outage.is_gone());
    }

    #[test]
    fn several_domains_and_the_control_are_an_outage_until_something_gets_through() {
        for control_first in [true, false] {
            let mut outage = failing(&["a.example"]);
            assert!(outage.wants_control());
            if control_first {
                outage.control(false);
                outage.failed("b.example", NoRoute::Failed);
            } else {
                outage.failed("b.example", NoRoute::Failed);
                assert!(!outage.is_gone(), "the control has a say");
                outage.control(false);
            }
            assert!(outage.is_gone() && outage.holds("b.example"));
            assert_eq!(outage.nothing_under_way(), Ruling::Wait);
            assert_eq!(outage.control(false), Ruling::Wait);
            assert_eq!(outage.failed("a.example", NoRoute::TimedOut), Ruling::Wait);
            assert_eq!(outage.held.len(), 2);
            assert_eq!(outage.got_through(), Ruling::AskAgain(vec!["a.example".into(), "b.example".into()]));
            assert!(!outage.is_gone() && outage.held.is_empty());
            assert_eq!(outage.era(), 1, "what was asked before is to be asked again");
        }
    }

    #[test]
    fn a_success_in_between_begins_anew() {
        let mut outage = failing(&["a.example"]);
        assert_eq!(outage.got_through(), believed(&["a.example"]));
        assert_eq!(outage.got_through(), Ruling::Wait);
        outage.failed("b.example", NoRoute::TimedOut);
        assert!(outage.wants_control(), "of the new doubt");
        assert_eq!(outage.held.len(), 1);
    }

    #[test]
    fn while_it_is_gone_each_domain_has_its_turn() {
        let mut outage = failing(&["a.example", "b.example", "c.example"]);
        assert!(outage.wants_control());
        outage.control(false);
        let turns: Vec<_> = (0..4).map(|_| outage.turn().expect("one is held")).collect();
        assert_eq!(turns, ["b.example", "c.example", "a.example", "b.example"]);
        assert_eq!(failing(&[]).turn(), None);
    }

    #[test]
    fn bogus_answers_are_their_domains_affair_until_everything_is_bogus() {
        let mut outage = Outage::default();
        for domain in ["a.example", "b.example"] {
            assert_eq!(outage.failed(domain, NoRoute::Bogus), Ruling::Wait);
        }
        assert!(outage.wants_control() && !outage.is_bogus());
        let mut other = Outage { held: outage.held.clone(), control: outage.control, ..Outage::default() };
        assert!(matches!(other.control(true), Ruling::Believe(domains) if domains.len() == 2));
        outage.control(false);
        assert!(outage.is_gone() && outage.is_bogus());
        outage.failed("c.example", NoRoute::TimedOut);
        assert!(outage.is_gone() && !outage.is_bogus());
    }

    #[test]
    fn without_descriptors_nobody_can_be_asked() {
        let mut outage = Outage::default();
        outage.failed("a.example", NoRoute::Exhausted);
        assert!(outage.is_gone() && !outage.wants_control());
        assert_eq!(outage.nothing_under_way(), Ruling::Wait);
        assert_eq!(outage.control(true), Ruling::AskAgain(vec!["a.example".into()]));
    }
}
