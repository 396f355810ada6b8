//! The text of a letter that only has HTML.
//!
//! html2text lays it out; before that the letter's document is made readable without a screen: what is hidden goes, tables
//! that only place things on a page become blocks, cells that span rows stand in their first row, a link's address follows
//! its words. Nothing visible is lost, and the same HTML gives the same text every time.

use super::Unrenderable;
use html2text::config::{self, Config};
use html2text::render::TextDecorator;
use html2text::{Element, Handle, RcDom, local_name, ns};
use html5ever::interface::{ElementFlags, NodeOrText, QualName, TreeSink};
use html5ever::tendril::StrTendril;

/// Columns: short of 78 (RFC 5322 section 2.1.1), so that an answer can quote it twice.
const WIDTH: usize = 72;

/// Levels of elements; a layout of tables in tables has thirty.
const DEEPEST: usize = 200;

/// Columns that a cell can span.
const WIDEST: usize = 50;

/// The text of `html`.
pub(super) fn of(html: &str) -> Result<String, Unrenderable> {
    let config = config::with_decorator(Letter).allow_width_overflow().no_table_borders().no_link_wrapping();
    let shown = laid_out(&config, html);
    shown.map(|text| tidied(&text)).ok_or_else(|| Unrenderable::new("render", "no text can be made from the HTML"))
}

fn laid_out(config: &Config<Letter>, html: &str) -> Option<String> {
    let dom = config.parse_html(html.as_bytes()).ok()?;
    make_readable(&dom, &dom.document, 0)?;
    let tree = config.dom_to_render_tree(&dom).ok()?;
    config.render_to_string(tree, WIDTH).ok()
}

/// Goes over the elements under `parent`, deepest first, so that what is moved was already made readable. `None` where they
/// are nested as no letter is: a row's own HTML (`{{{field}}}`) must not exhaust the stack.
fn make_readable(dom: &RcDom, parent: &Handle, depth: usize) -> Option<()> {
    if depth > DEEPEST {
        return None;
    }
    let children: Vec<Handle> = parent.children.borrow().clone();
    for child in &children {
        let Element { name, .. } = &child.data else { continue };
        if is_hidden(child) || matches!(&*name.local, "head" | "style" | "script" | "title" | "template") {
            dom.remove_from_parent(child);
            continue;
        }
        tame(child);
        make_readable(dom, child, depth + 1)?;
        match &*name.local {
            "a" => write_out_link(dom, child),
            "table" if attribute(child, "role").is_some_and(|role| role == "presentation") => unfold(dom, child),
            _ => {}
        }
    }
    Some(())
}

/// Takes away what html2text 0.17.4 stumbles over: `rowspan`, which loses a row whose every cell has one and panics beside
/// `colspan`; `start`, whose last number overflows; and a `colspan` as wide as no table is.
fn tame(element: &Handle) {
    let Element { attrs, .. } = &element.data else { return };
    let mut attrs = attrs.borrow_mut();
    attrs.retain(|attribute| match &*attribute.name.local {
        "rowspan" | "start" => false,
        "colspan" => attribute.value.parse().is_ok_and(|columns| (1..=WIDEST).contains(&columns)),
        _ => true,
    });
}

/// The ways in which letters hide their preview line.
fn is_hidden(element: &Handle) -> bool {
    if attribute(element, "hidden").is_some() {
        return true;
    }
    let style = attribute(element, "style").unwrap_or_default();
    let style: String = style.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_ascii_lowercase();
    style.split(';').any(|rule| {
        let rule = rule.trim_end_matches("!important");
        matches!(rule, "display:none" | "visibility:hidden" | "mso-hide:all")
    })
}

/// A table for layout becomes a block a cell.
fn unfold(dom: &RcDom, table: &Handle) {
    let mut cells = Vec::new();
    cells_of(table, &mut cells);
    for cell in cells {
        let block =
            dom.create_element(QualName::new(None, ns!(html), local_name!("div")), Vec::new(), ElementFlags::default());
        dom.reparent_children(&cell, &block);
        dom.append_before_sibling(table, NodeOrText::AppendNode(block));
    }
    dom.remove_from_parent(table);
}

fn cells_of(element: &Handle, cells: &mut Vec<Handle>) {
    for child in element.children.borrow().iter() {
        match &child.data {
            Element { name, .. } if matches!(&*name.local, "td" | "th" | "caption") => cells.push(child.clone()),
            _ => cells_of(child, cells),
        }
    }
}

/// `your claims (https://acme.example/claims)`, but not where the words already say it.
fn write_out_link(dom: &RcDom, link: &Handle) {
    let Some(target) = attribute(link, "href") else { return };
    let shown = target.trim();
    let bare = shown.split_once(':').map_or(shown, |(_, rest)| rest.trim_start_matches("//"));
    let plain = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_lowercase();
    let (words, bare) = (plain(&text_of(link)), plain(bare));
    // A telephone number's words often lack the country.
    let said = words.contains(&bare) || shown.starts_with("tel:") && bare.ends_with(&words) && words.len() > 6;
    if shown.is_empty() || shown.starts_with('#') || said {
        return;
    }
    dom.append(link, NodeOrText::AppendText(StrTendril::from(format!(" ({shown})"))));
}

/// The words of an element: what html2text lets us see of text is its serialisation.
fn text_of(element: &Handle) -> String {
    let mut html = Vec::new();
    if element.serialize(&mut html).is_err() {
        return String::new();
    }
    let html = String::from_utf8_lossy(&html);
    let text: String = html.split('<').map(|piece| piece.split_once('>').map_or(piece, |(_, text)| text)).collect();
    text.replace("&amp;", "&").replace("&nbsp;", " ")
}

fn attribute(element: &Handle, name: &str) -> Option<String> {
    let Element { attrs, .. } = &element.data else { return None };
    attrs.borrow().iter().find(|attribute| &*attribute.name.local == name).map(|attribute| attribute.value.to_string())
}

/// No spaces at line ends, no hard spaces, at most one empty line at a time and none at the ends.
fn tidied(text: &str) -> String {
    let mut tidy = String::with_capacity(text.len());
    let mut empty = 0;
    for line in text.lines() {
        let line = line.replace('\u{a0}', " ");
        let line = line.trim_end();
        if line.is_empty() {
            empty += 1;
            continue;
        }
        if std::mem::take(&mut empty) > 0 && !tidy.is_empty() {
            tidy.push('\n');
        }
        tidy.push_str(line);
        tidy.push('\n');
    }
    tidy
}

/// Words without marks: a letter has no `**` and no `#`.
#[derive(Clone, Debug)]
struct Letter;

impl TextDecorator for Letter {
    type Annotation = ();

    fn decorate_link_start(&mut self, _: &str) -> (String, ()) {
        (String::new(), ())
    }

    fn decorate_link_end(&mut self) -> String {
        String::new()
    }

    fn decorate_em_start(&self) -> (String, ()) {
        (String::new(), ())
    }

    fn decorate_em_end(&self) -> String {
        String::new()
    }

    fn decorate_strong_start(&self) -> (String, ()) {
        (String::new(), ())
    }

    fn decorate_strong_end(&self) -> String {
        String::new()
    }

    fn decorate_strikeout_start(&self) -> (String, ()) {
        (String::new(), ())
    }

    fn decorate_strikeout_end(&self) -> String {
        String::new()
    }

    fn decorate_code_start(&self) -> (String, ()) {
        (String::new(), ())
    }

    fn decorate_code_end(&self) -> String {
        String::new()
    }

    fn decorate_preformat_first(&self) {}

    fn decorate_preformat_cont(&self) {}

    fn decorate_image(&mut self, _: &str, alternative: &str) -> (String, ()) {
        (format!("[{alternative}]"), ())
    }

    fn header_prefix(&self, _: usize) -> String {
        String::new()
    }

    fn quote_prefix(&self) -> String {
        "> ".into()
    }

    fn unordered_item_prefix(&self) -> String {
        "* ".into()
    }

    fn ordered_item_prefix(&self, number: i64) -> String {
        format!("{number}. ")
    }

    fn make_subblock_decorator(&self) -> Letter {
        Letter
    }
}

#[cfg(test)]
mod tests {
    use super::of;
    use proptest::collection::vec;
    use proptest::strategy::Strategy;

    /// None, a likely one, or any.
    fn span() -> impl Strategy<Value = String> {
        proptest::prop_oneof!["", "(row|col)span=[0-9]", "(row|col)span='-?[0-9]{1,20}'"]
    }

    #[test]
    fn what_is_seen_is_said_and_nothing_else() {
        let cases = [
            ("<p>Hello <b>Ann</b>,</p><p>you&nbsp;owe&#8217;s</p>", "Hello Ann,\n\nyou owe\u{2019}s\n"),
            ("<title>T</title><style>p{}</style><script>x()</script><p>a</p><!-- c -->", "a\n"),
            (
                "<div style='DISPLAY : none !important'>hidden</div><span hidden>h</span><p style=\"mso-hide:all\">h</p>a",
                "a\n",
            ),
            ("<h1>Title</h1><ul><li>one</li><li>two</li></ul><ol><li>x</li></ol>", "Title\n* one\n* two\n1. x\n"),
            ("<img src='cid:logo' alt='Acme'><img src='x.png'><br>a", "[Acme]\na\n"),
            (
                "<a href='https://a.example/x?y=1&amp;z=2'>your claims</a>",
                "your claims (https://a.example/x?y=1&z=2)\n",
            ),
            ("<a href='https://a.example/claims'>a.example/claims</a>", "a.example/claims\n"),
            (
                "<a href='tel:+18005550199'>1-800-555-0199</a> <a href='mailto:x@a.example'>x@a.example</a>",
                "1-800-555-0199 x@a.example\n",
            ),
            ("<a href='https://a.example/'><img src='y' alt='Open'></a>", "[Open] (https://a.example/)\n"),
            (
                "<table role='presentation'><tr><td>1<td><table role=presentation><tr><td>two</table></table>three",
                "1\ntwo\nthree\n",
            ),
            (
                "<table><tr><th>Billed</th><td>$9.00</td></tr><tr><th>You owe</th><td>$1.00</td></tr></table>",
                "Billed  $9.00\nYou owe $1.00\n",
            ),
            ("", ""),
            ("&lt;b&gt; 1 &amp; 2", "<b> 1 & 2\n"),
        ];
        for (html, text) in cases {
            assert_eq!(of(html).expect(html), text, "{html}");
        }
    }

    #[test]
    fn short_lines_without_loss_and_the_same_every_time() {
        let words: Vec<_> = (0..200).map(|number| format!("word{number}")).collect();
        let long = format!("https://a.example/{}", "x".repeat(300));
        let html =
            format!("<table role=presentation><tr><td><p>{}</p></td></tr></table><p>{long}</p>", words.join(" "));
        let text = of(&html).expect("text");
        assert_eq!(of(&html).expect("again"), text);
        let said: Vec<_> = text.split_whitespace().collect();
        assert!(words.iter().all(|word| said.contains(&word.as_str())), "{text}");
        assert!(text.lines().all(|line| line.len() <= 72 || line.starts_with("https")), "{text}");
        assert!(text.replace('\n', "").contains(&long), "{text}");
    }

    #[test]
    fn tables_keep_every_cell() {
        let cases = [
            "<table><tr><td colspan=2>AA</td><td rowspan=2>BB</td></tr></table>",
            "<table><tr><td rowspan=2 colspan=2>AA</td></tr><tr><td>BB</td></tr></table>",
            "<table><tr><th rowspan=2>AA</th><th rowspan=2>BB</th></tr><tr></tr><tr><td>CC<td>DD</table>",
            "<table><tr><td rowspan=0>AA<td rowspan=99999999999>BB<tr><td colspan=0>CC<td colspan=0>DD</table>",
            "<table><tr><td colspan=9007199254740991>AA<td>BB<tr><td colspan=-1>CC<td colspan=50>DD</table>",
            "<ol start=9223372036854775807><li>AA<li>BB</ol>",
        ];
        for html in cases {
            let text = of(html).expect(html);
            assert!(["AA", "BB"].iter().all(|word| text.contains(word)), "{html}: {text}");
            assert!(["CC", "DD"].iter().all(|word| text.contains(word) == html.contains(word)), "{html}: {text}");
        }
    }

    #[test]
    fn nested_without_end() {
        assert_eq!(of(&"<div>".repeat(5_000)).expect_err("too deep").reason, "render");
        assert_eq!(of(&format!("{}x", "<div>".repeat(100))).expect("a letter"), "x\n");
    }

    proptest::proptest! {
        /// Whatever a row brings, there is a text.
        #[test]
        fn any_value_in_a_letter(value in "\\PC{0,80}", tags in "[<>/a-z=\"' &;#0-9]{0,80}") {
            let escaped = handlebars::html_escape(&value);
            let html = format!("<p>{escaped}</p><table><tr><td>{escaped}</td></tr></table>{tags}");
            proptest::prop_assert!(of(&html).is_ok());
        }

        /// However a table's rows and cells span and nest, each cell's word is in the text.
        #[test]
        fn any_table(rows in vec(vec((span(), span(), 0..4_u8), 0..5), 0..5), start in ".{0,3}|-?[0-9]{1,20}") {
            let mut html = format!("<ol start='{}'><li>x<li>y</ol><table>", handlebars::html_escape(&start));
            let mut words = Vec::new();
            for row in &rows {
                html.push_str("<tr>");
                for (rowspan, colspan, kind) in row {
                    let word = format!("w{}w", words.len());
                    let content = match kind {
                        0 => format!("<table><tr><td {colspan}>{word}</td><td {rowspan}>{word}</table>"),
                        1 => format!("<ul><li>{word}</ul>"),
                        _ => word.clone(),
                    };
                    html.push_str(&format!("<{0} {rowspan} {colspan}>{content}</{0}>", ["th", "td"][words.len() % 2]));
                    words.push(word);
                }
            }
            let text = of(&html).expect("a text");
            proptest::prop_assert!(words.iter().all(|word| text.contains(word)), "{} {}", html, text);
        }
    }
}
