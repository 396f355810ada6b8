//! The table itself: what words and codes say, the most telling first. Ours: written from RFC 3463, RFC 5248 and the IANA registry of
//! enhanced codes, from what Google, Yahoo, Microsoft, Apple, Comcast, Cox, Mimecast, Orange and Rackspace say of their replies on
//! their postmasters' pages, and from the notices in `tests/data/bounces`.

use super::{Row, Says, When};
use crate::mail::Class;

/// What a text says, whatever its codes are: the first row of which a word occurs decides. Words are lower-case and begin where a
/// word begins; ` * ` stands for up to 64 octets.
#[rustfmt::skip]
pub(super) const TELLING: &[Row] = &[
    // The recipient's organisation says so, by a rule with a text of its own, on a server that it shares with millions.
    row(Class::Policy, &[
        "transport.rules.reject", "gcdp", "organization * rejected", "organization's administrator",
        "rejected by recipient's",
    ]),
    row(Class::Infrastructure, &["host not found, try again"]),
    row(Class::Domain, &["name service error * host not found"]),
    row(Class::Infrastructure, &["name service error", "dns error", "dns query failed", "dns failure", "dns timeout"]),
    // RFC 7505, and what RFC 1846 calls a host that takes no mail.
    row(Class::Domain, &[
        "nullmx", "null mx", "does not accept mail", "not accepting network messages", "does not receive mail",
        "find a mail exchanger",
    ]),
    // Who misses our reverse name says it of our address, whoever the message is for.
    us(Class::Reputation, &[
        "reverse dns", "rdns", "ptr record", "ptr resource", "no ptr", "dns ptr", "missing ptr", "valid ptr",
        "invalid ptr", "ptr lookup", "reverse host", "reverse lookup", "reverse name", "reverse address",
        "inverse lookup", "ip name lookup", "ip address lookup", "unverif * sending ip", "unverif * ip",
        "mismatches client ip", "resolve your ip", "resolve your address", "resolve your host", "find your hostname",
        "find your reverse", "verify your hostname", "fcrdns", "forward confirmed",
        "client host rejected: cannot find",
    ]),
    row(Class::Content, &[
        "duplicate header", "duplicate * header", "multiple * from: header", "multiple addresses in from", "virus",
        "malware", "trojan", "infected", "phishing attempt", "phishing detected",
    ]),
    row(Class::Authentication, &[
        "dmarc", "spf check", "spf record", "spf fail", "spf polic", "spf hard", "spf soft", "spf valid",
        "spf reject", "spf error", "fails spf", "failed spf", "fail spf", "pass spf", "spf:", "spf=", "(spf",
        "by spf", "per spf", "due to spf", "sender policy framework", "sender id (", "dkim", "domainkeys",
        "unauthenticated email", "unauthenticated mail", "authentication information", "authentication check",
        "authentication fail", "failed authentication", "failing authentication", "email authentication",
        "sender authentication", "domain authentication", "allowed to send from", "allowed to send mail for",
        "authorized to send from", "authorized to send mail", "permitted to send from", "designated as permitted",
        "authenticate * domain", "arc fail",
    ]),
    row(Class::Tls, &[
        "starttls", "tls required", "tls is required", "tls connection required", "requires tls", "require tls",
        "requiretls", "use tls", "without tls", "encryption required", "encryption needed", "encryption is required",
        "secure connection required", "encrypted connection",
    ]),
    row(Class::Greylist, &[
        "greylist", "graylist", "grey list", "gray list", "grey-list", "gray-list", "postgrey", "not known yet",
        "greyed",
    ]),
    row(Class::MailboxFull, &["too many messages in", "too many messages on"]),
    // A mailbox that many write to at once says nothing of us.
    row(Class::Rate, &[
        "user * receiving mail at a rate", "user * receiving mail too", "recipient * receiving mail",
        "receiving mail too quickly", "mailbox received too", "recipient * too many messages",
        "recipient * rate limit", "mailbox * rate limit", "mailbox * too many messages",
    ]),
    us(Class::Rate, &[
        "rate limit", "rate-limit", "ratelimit", "limit * rate", "rate exceed", "rate * exceed", "rate too high",
        "rate is too", "rate * too high", "unusual rate", "throttl", "too many connections", "too many concurrent",
        "too many simultaneous", "too many parallel", "too many sessions", "too many open", "too many messages",
        "too many emails", "too many mails", "too many recipients", "too many smtp", "too many requests",
        "too many transactions", "too many rcpt", "too much mail", "too much traffic", "too fast", "too quickly",
        "slow down", "connection limit", "connections limit", "connection rate", "connection frequency",
        "frequency limit", "number of connections", "number of concurrent", "concurrent connection",
        "simultaneous connection", "message threshold", "hourly limit", "daily limit", "hourly quota", "daily quota",
        "sending limit", "sending quota", "excessive volume", "unexpected volume", "volume limit", "traffic limit",
        "mail flood", "flooding", "tss0", "[ts0", "rl0000", "rl0001", "limited due to", "messages per connection",
        "messages per session", "recipients per session",
    ]),
    when(When::Transient, Says::Us(Class::Rate), &[
        "temporarily deferred", "permanently deferred", "rp-00", "ts0", "max message", "maximum number of",
        "per connection", "per hour", "per minute", "per day", "exceeded the limit", "exceeded * limit",
        "exceeded the maximum", "reached the maximum", "you have exceeded", "high volume", "resources restricted",
        "at a rate", "received too many", "limit reached", "quota * messages", "suspicious traffic",
        "unusual traffic", "volume of mail",
    ]),
    row(Class::SpamBlock, &[
        "blacklisted url", "blacklisted link", "url * blacklist", "link * blacklist", "url * block", "url * listed",
        "domain present in", "uribl", "surbl", "spam message", "spam detect", "spam content", "spam score",
        "spam-score", "spam filter", "spam email", "spam mail", "spam reject", "spam signature", "mcspam",
        "spamassassin", "is spam", "as spam", "like spam", "be spam", "probable spam", "probably spam",
        "suspected spam", "possible spam", "contains spam", "likely spam", "considered spam", "identified as",
        "classified as", "scored as", "likely unsolicited", "be unsolicited", "unsolicited bulk",
        "unsolicited commercial", "ube", "uce", "junk mail", "anti-spam", "antispam", "content reject",
        "rejected for content", "due to content", "content * objectionable", "ofr_506", "mail rejete",
        "suspicious * content", "high probability",
    ]),
    // Of our address, and nothing else: the site wants none of us.
    us(Class::Reputation, &[
        "dnsbl", "rbl", "rbls", "spamhaus", "spamcop", "sorbs", "barracudacentral", "invaluement", "uceprotect",
        "abuseat", "mailspike", "blocked using", "banned sending", "banned ip", "client host * blocked",
        "client host * blacklist", "client host * listed", "client host rejected", "client host blocked",
        "your ip * block", "your ip * listed", "your ip * blacklist", "your ip * banned", "your host * block",
        "your server * block", "sending ip * block", "sending ip * listed", "sending ip * banned",
        "sender ip * block", "sender ip * reject", "source ip * block", "adresse ip * bloqu", "ip address * block",
        "ip address * blacklist", "ip * blacklisted", "ip * is blocked", "ip * is listed", "ip blocked",
        "blocked ip", "mail server * block", "network is on our block", "dynamic ip", "dynamic address",
        "dynamic/residential", "open relay", "open proxy", "isp", "isps", "connections not accepted",
        "connections will not be accepted", "refused mail service", "no access from mail server",
        "may not be mail exchanger", "messages from * weren't sent", "bl0000", "bl0001", "bl001", "es0000", "es0001",
        "cxbl", "cdrbl", "ipbl", "sc-00", "dy-00", "ou-00", "removal from this list",
    ]),
    row(Class::Content, &[
        "attachment", "content presents a potential", "executable", "bare lf", "bare newline", "bare cr",
        "bare linefeed", "rfc 2822", "rfc2822", "rfc 5322", "rfc5322", "rfc 822", "rfc822", "header error",
        "missing * header", "header * missing", "message-id header", "malformed message", "malformed header",
        "malformed mime", "malformed mail", "invalid content", "content type not", "charset", "character set",
        "mime error", "invalid header", "non-ascii", "8-bit", "invalid message",
    ]),
    row(Class::MailboxFull, &[
        "mailbox full", "mailbox is full", "mailbox * full", "mailbox * quota", "mailbox exceed",
        "mailbox has exceed", "mailbox * exceed", "mailbox size", "mailbox limit", "mailfolder is full",
        "mailfolder * full", "inbox full", "inbox is full", "box is full", "folder is full", "maildir * full",
        "maildir * quota", "account is full", "account full", "over quota", "overquota", "over-quota",
        "over the quota", "over its quota", "over his quota", "over the maximum", "exceed * quota",
        "exceeding * quota", "exceeded quota", "quota exceed", "quota is exceed", "quota * exceed",
        "quota violation", "quota full", "quota is full", "quota limit", "storage quota", "disk quota",
        "disk space quota", "storage limit", "storage * exceed", "storage * full", "storage space",
        "exceeded storage", "exceeds storage", "exceed * storage", "out of storage", "out of space",
        "not enough storage", "not enough space in", "insufficient space in", "allowed storage", "boite * pleine",
        "boîte * pleine", "postfach * voll", "buzon * lleno", "buzón * lleno", "speichervolumen",
    ]),
    row(Class::TooLarge, &[
        "too large", "too big", "size limit", "size exceed", "size of * exceed", "size is exceed", "exceeds size",
        "exceeds * size", "exceeds the maximum", "exceeded maximum", "message size", "mail size", "length exceed",
        "length limit", "line too long", "lines too long", "header too long", "message too long", "larger than",
        "line limit", "max size", "maximum size", "data size", "message exceeds",
    ]),
    // Of our sender: a rule of theirs, or an address that nobody can answer to.
    row(Class::Policy, &[
        "sender address", "sender rejected", "sender refused", "sender denied", "sender blocked", "sender not",
        "sender is not", "sender has been", "sender verif", "sender domain", "sender's domain", "domain of sender",
        "senders domain", "senders not allowed", "blocked sender", "invalid sender", "bad sender",
        "unroutable sender", "unrouteable sender", "return path", "mail from * reject", "from: * invalid",
        "valid from:", "invalid from", "envelope sender", "envelope blocked", "cannot send e-mail to yourself",
        "not a member", "not subscribed", "members only", "permission to post", "permissions to post",
        "allowed to post",
    ]),
    row(Class::Policy, &[
        "relay", "gateway user", "not in my domain", "rcpthosts", "resolver.rst", "authrequired",
        "recipient rejected by", "not authorised", "delivery not authorized", "local policy", "policy reasons",
        "policy violation", "policy reject", "violates * polic", "due to polic", "due to * polic", "security polic",
        "against * polic", "administrative prohibition", "administratively", "administrative lock",
        "not permitted to",
    ]),
    row(Class::MailboxClosed, &[
        "account * disabled", "account disabled", "mailbox * disabled", "mailbox disabled", "user * disabled",
        "user disabled", "address * disabled", "disabled account", "disabled user", "disabled mailbox",
        "disabled recipient", "user(s) account", "suspend", "account * inactive", "mailbox * inactive",
        "user * inactive", "inactive account", "inactive user", "inactive mailbox", "inactive email",
        "inactive recipient", "account inactive", "mailbox inactive", "user inactive", "account * locked",
        "mailbox * locked", "user * locked", "account locked", "mailbox locked", "user locked", "temporary locked",
        "temporarily locked", "account * blocked", "account blocked", "account * closed", "account closed",
        "mailbox closed", "mailbox * closed", "deactivated", "account * expired", "account expired",
        "mailbox expired", "frozen", "not active", "no longer active", "inactivity", "terminated", "discontinued",
        "temporarily disabled", "dormant", "compte * bloqu", "konto * gesperrt", "cuenta * desactiv",
    ]),
    // Distrust, where the text leaves open whether the message had a part in it.
    row(Class::Reputation, &[
        "reputation", "block list", "blocklist", "block-list", "blacklist", "black list", "black-list", "denylist",
        "deny list", "(bl)", "senderscore", "your access", "sender score", "senderbase", "trustedsource", "banned",
        "blocked by", "blocked - see", "blocked for", "blocked due", "blocked because", "is blocked", "spamming",
        "user complaints", "unwanted messages", "residential", "dial-up", "dialup", "generic hostname", "abusive",
        "access from", "delist", "cs01", "hm08", "aup#", "not accepting mail from", "suspicious activity",
        "is listed", "listed at",
    ]),
    // So surely about the address that even a filter would not say it of one that is there.
    row(Class::MailboxUnknown, &[
        "doesn't have a * account", "does not have a * account", "account that you tried to reach does not",
        "bad-mailbox", "ディレクトリには見つかりません",
    ]),
    when(When::Address, Says::Row(Class::MailboxUnknown), &[
        "user unknown", "unknown user", "user is unknown", "user not found", "user * not found", "user not known",
        "user is not known", "user does not exist", "user doesn't exist", "user not exist", "user * not exist",
        "user * doesn't exist", "user not listed", "user * not listed", "user doesn't have", "no such user",
        "no such person", "no such mailbox", "no such recipient", "no such address", "no such account",
        "no such local", "no such alias", "no such email", "no user", "no mailbox", "no valid recipient",
        "no local mailbox", "no account", "no recipient", "no person", "unknown local", "user not local",
        "unknown recipient", "unknown mailbox", "unknown address", "unknown account", "unknown email",
        "unknown e-mail", "unknown alias", "unknown or", "unknown virtual", "unknown to", "recipient unknown",
        "recipient is unknown", "recipient not found", "recipient * not found", "recipientnotfound", "recipnotfound",
        "recipient not exist", "recipient does not exist", "recipient * not exist", "recipient no longer",
        "recipient not recognized", "recipient name is not", "recipient invalid", "recipient is invalid",
        "recipient not known", "recipient is not known", "invalid recipient", "invalid address", "invalid mailbox",
        "invalid user", "invalid email", "invalid e-mail", "invalid account", "invalid final delivery",
        "invalid local", "invalid alias", "bad destination mailbox", "bad recipient", "bad address",
        "address unknown", "address rejected: unknown", "address not found", "address does not exist",
        "address * not exist", "address * doesn't exist", "address * not found", "address is not valid",
        "address not valid", "address invalid", "address not recognized", "address no longer", "address you",
        "couldn't be found", "could not be found", "wasn't found", "mailbox not found", "mailbox * not found",
        "mailbox unknown", "mailbox does not exist", "mailbox doesn't exist", "mailbox not exist",
        "mailbox * not exist", "mailbox * doesn't exist", "mailbox not available", "mailbox invalid",
        "mailbox is invalid", "account not found", "account * not found", "account does not exist",
        "account * not exist", "account doesn't exist", "account * doesn't exist", "account unknown",
        "account * deleted", "account removed", "account invalid", "not our customer", "not our user",
        "not a valid user", "not a valid mailbox", "not a valid recipient", "not a valid address",
        "not a known user", "not known here", "not known at", "unrouteable address", "unroutable address",
        "has moved", "no longer on", "no longer here", "no longer available", "no longer valid", "no longer in use",
        "no longer exist", "no longer employed", "no longer with", "no longer working",
        "recipient address rejected: access denied", "recipient address rejected: user", "local recipient table",
        "alias unknown", "did not match any", "not exist here", "public name & address book", "is not a registered",
        "ofr_416", "benutzer nicht", "benutzer unbekannt", "empfänger unbekannt", "empfänger nicht",
        "destinataire * invalide", "destinataire inconnu", "utilisateur inconnu", "usuario desconocido",
        "utente sconosciuto", "gebruiker onbekend", "no existe", "あて先不明",
    ]),
    row(Class::Domain, &[
        "host unknown", "unknown host", "host not found:", "no such host", "domain unknown", "unknown domain",
        "domain not found", "domain * not found", "domain does not exist", "domain doesn't exist",
        "domain * not exist", "domain name not found", "no such domain", "domain invalid", "invalid domain",
        "domain is invalid", "illegal host", "bad destination system", "unrouteable mail domain",
        "unrouteable domain", "unroutable mail domain", "mx records point to non-existent", "nxdomain",
        "domain mentioned", "host/domain", "nonexistent domain", "non-existent domain", "domain has been disabled",
        "domain must exist", "domain does not accept",
    ]),
    row(Class::Infrastructure, &[
        "host not found", "name lookup", "lookup fail", "timed out", "timeout", "time out", "no route",
        "not reachable", "unreachable", "host is down", "connection refused", "connection reset", "connection lost",
        "lost connection", "connection closed", "closed connection", "have been failing", "command died",
        "command failed", "connection dropped", "refused to talk", "unable to connect", "unable to contact",
        "able to establish", "did not accept our requests", "socket error", "could not connect", "cannot connect",
        "couldn't connect", "expired", "could not be delivered for", "could not deliver for",
        "deliver this message after", "not yet been delivered", "been delayed", "will be retried",
        "delivery failed * attempts", "aborted after", "undeliverable for", "queue too long", "too many hops",
        "hop count", "maximum allowed times", "mail loop", "routing loop", "loop detected", "loops back",
        "internal error", "internal server", "internal system", "local error", "local problem",
        "local configuration", "system error", "system config", "server error", "server configuration",
        "mailer error", "queue file", "disk full", "no space left", "insufficient system", "insufficient disk",
        "insufficient memory", "insufficient resource", "insufficient storage", "system resources",
        "resources temporarily", "resource temporarily", "out of memory", "system full", "system storage",
        "temporary failure", "temporary error", "temporary problem", "temporary local", "temporary system",
        "temporary lookup", "transaction failed", "could not complete", "cannot complete", "error in processing",
        "service unavailable", "service currently", "service not available", "service temporarily", "service refus",
        "temporarily unavailable", "currently unavailable", "not accepting connections", "maintenance", "overload",
        "busy", "unexpected failure", "i/o error", "failed to read", "no such file", "could not find a gateway",
        "cannot update mailbox", "unable to process", "still undelivered", "going down", "shutting down",
    ]),
    row(Class::Protocol, &[
        "command parameter", "command not", "unrecognized command", "unknown command", "command unrecognized",
        "command unknown", "not implemented", "improper sequence", "bad sequence", "out of sequence", "need rcpt",
        "need mail", "need recipient", "must precede", "syntax error", "protocol error", "protocol violation",
        "bad command", "invalid command", "invalid parameter", "nested mail", "malformed address", "may not follow",
        "incorrectly constructed", "bad syntax", "error in syntax",
    ]),
];

/// What is left to a text where its codes say nothing more.
#[rustfmt::skip]
pub(super) const VAGUE: &[Row] = &[
    when(When::Transient, Says::Row(Class::Infrastructure), &[
        "mailbox unavailable", "mailbox busy", "mailbox is busy", "requested action aborted",
    ]),
    when(When::Recipient, Says::Row(Class::MailboxUnknown), &[
        "mailbox unavailable", "mailbox not allowed", "mailbox name not allowed", "address rejected", "unknown",
        "not exist",
    ]),
    // RFC 5321 section 4.2.3 has one phrase for mailboxes that aren't there and for what a rule of the server's refuses.
    row(Class::Policy, &[
        "mailbox unavailable", "mailbox not allowed", "mailbox name not allowed", "address rejected",
    ]),
    when(When::Address, Says::Row(Class::MailboxUnknown), &["not found", "undeliverable address"]),
    row(Class::Domain, &["not exist"]),
    row(Class::SpamBlock, &["spam", "unsolicited", "junk", "bulk mail", "suspicious"]),
    row(Class::Policy, &[
        "polic", "not allowed", "not permitted", "not authorized", "unauthorized", "permission", "prohibited",
        "forbidden", "restricted", "restriction", "denied", "reject", "refuse", "not accept", "not welcome", "block",
        "filter", "disallow", "unacceptable",
    ]),
    when(When::Transient, Says::Row(Class::Greylist), &[
        "try again", "try later", "come again", "come back", "retry", "deferred", "delayed", "again later",
    ]),
    row(Class::Infrastructure, &["error", "failure", "trouble", "unavailable", "not available"]),
];

/// What an enhanced status code says: its subject and details (RFC 3463 section 3, RFC 5248's registry; from 300 on Exchange's own).
pub(super) const CODES: &[(u16, std::ops::RangeInclusive<u16>, Says)] = &[
    (1, 1..=1, Says::Row(Class::MailboxUnknown)),
    (1, 2..=2, Says::Row(Class::Domain)),
    (1, 3..=4, Says::Row(Class::MailboxUnknown)),
    (1, 6..=6, Says::Row(Class::MailboxUnknown)),
    (1, 7..=8, Says::Row(Class::Policy)),
    (1, 10..=10, Says::Row(Class::Domain)),
    (1, 350..=351, Says::Row(Class::MailboxUnknown)),
    (2, 1..=1, Says::Row(Class::MailboxClosed)),
    (2, 2..=2, Says::Row(Class::MailboxFull)),
    (2, 3..=3, Says::Row(Class::TooLarge)),
    (2, 4..=4, Says::Row(Class::Infrastructure)),
    (3, 1..=1, Says::Row(Class::Infrastructure)),
    (3, 3..=3, Says::Row(Class::Protocol)),
    (3, 4..=4, Says::Row(Class::TooLarge)),
    (3, 5..=5, Says::Row(Class::Infrastructure)),
    (4, 0..=999, Says::Row(Class::Infrastructure)),
    (5, 3..=3, Says::Us(Class::Rate)),
    (5, 1..=9, Says::Row(Class::Protocol)),
    (6, 1..=999, Says::Row(Class::Content)),
    (7, 2..=2, Says::Row(Class::Policy)),
    (7, 8..=8, Says::Row(Class::Policy)),
    (7, 10..=11, Says::Row(Class::Tls)),
    (7, 13..=13, Says::Row(Class::MailboxClosed)),
    (7, 17..=17, Says::Row(Class::MailboxUnknown)),
    (7, 18..=18, Says::Row(Class::Domain)),
    (7, 20..=24, Says::Row(Class::Authentication)),
    (7, 25..=25, Says::Us(Class::Reputation)),
    (7, 26..=26, Says::Row(Class::Authentication)),
    (7, 27..=27, Says::Row(Class::Policy)),
    (7, 28..=28, Says::Us(Class::Rate)),
    (7, 29..=29, Says::Row(Class::Authentication)),
    (7, 30..=30, Says::Row(Class::Tls)),
    (7, 509..=509, Says::Row(Class::Authentication)),
    (7, 511..=511, Says::Us(Class::Reputation)),
    (7, 515..=515, Says::Row(Class::Authentication)),
    (7, 606..=649, Says::Us(Class::Reputation)),
    (7, 650..=650, Says::Us(Class::Rate)),
];

const fn row(class: Class, words: &'static [&'static str]) -> Row {
    Row { says: Says::Row(class), when: When::Always, words }
}

const fn us(class: Class, words: &'static [&'static str]) -> Row {
    Row { says: Says::Us(class), when: When::Always, words }
}

const fn when(when: When, says: Says, words: &'static [&'static str]) -> Row {
    Row { says, when, words }
}
