//! Tables as calicoctl draws them.
//!
//! calicoctl draws with Go's `tablewriter` 0.0.5: headings in upper case and centred, cells left-aligned and
//! broken at 30 columns so that the lines are as even as can be. Scripts and eyes know these tables, so they are
//! drawn the same to the byte:
//!
//! ```text
//! +----------------+-------------------+-------+----------+--------------------------------+
//! |  PEER ADDRESS  |     PEER TYPE     | STATE |  SINCE   |              INFO              |
//! +----------------+-------------------+-------+----------+--------------------------------+
//! | 192.168.63.204 | node-to-node mesh | start | 17:19:38 | Active Socket: Connection      |
//! |                |                   |       |          | refused                        |
//! +----------------+-------------------+-------+----------+--------------------------------+
//! ```

use std::fmt::Write as _;

use anstyle::Style;
use comfy_table::{
    Cell, CellAlignment, ColumnConstraint, ContentLineStyle, LineStyle, Table, TableStyle, Width,
};

use super::lines::hanging;

const STYLE: TableStyle = TableStyle::new()
    .top_border(LineStyle::new('+', '-', '+', '+'))
    .header_lines(ContentLineStyle::new('|', '|', '|'))
    .header_separator(LineStyle::new('+', '-', '+', '+'))
    .content_lines(ContentLineStyle::new('|', '|', '|'))
    .bottom_border(LineStyle::new('+', '-', '+', '+'));

/// `MAX_ROW_WIDTH` of tablewriter: a longer cell is broken into lines.
const BREAK_AT: usize = 30;

/// A row, and the style in which it is shown; [`Style::new`] is plain.
pub type Row = (Vec<String>, Style);

/// The least room for a cell in a table whose cells are broken earlier than calicoctl's: that of calicoctl's longest
/// word for a kind of peer.
const LEAST: usize = 17;

/// How the cells of a table are broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cells {
    /// Not at all: a row is one line.
    Whole,
    /// As calicoctl does.
    Broken,
}

/// The table, with a newline at its end. Cells must be printable. On a terminal that is too narrow for it, cells are
/// broken earlier, and where that does not help, a row is a paragraph and a column a line.
#[must_use]
pub fn render(heading: &[&str], rows: &[Row], cells: Cells, columns: Option<usize>) -> String {
    let mut limit = (cells == Cells::Broken).then_some(BREAK_AT);
    loop {
        let table = drawn(heading, rows, limit);
        let needed = table.lines().next().map_or(0, width);
        let Some(columns) = columns.filter(|columns| needed > *columns) else { return table };
        // The column that is broken gives what is too much.
        limit = match limit {
            None => Some(BREAK_AT),
            Some(BREAK_AT) if BREAK_AT + columns >= needed + LEAST => {
                Some(BREAK_AT + columns - needed)
            }
            Some(_) => return paragraphs(heading, rows, columns),
        };
    }
}

/// A row a paragraph, beneath its first cell, and a column that says something a line.
fn paragraphs(heading: &[&str], rows: &[Row], columns: usize) -> String {
    let mut text = String::new();
    for (cells, style) in rows {
        let mut named = heading.iter().zip(cells);
        if let Some((_, first)) = named.next() {
            let _ = writeln!(text, "{style}{first}{style:#}");
        }
        for (heading, cell) in named.filter(|(_, cell)| !cell.is_empty() && *cell != "-") {
            let cell = hanging(cell, 20, 20, Some(columns));
            let _ = writeln!(text, "    {heading:<16}{cell}");
        }
    }
    text
}

fn drawn(heading: &[&str], rows: &[Row], limit: Option<usize>) -> String {
    let mut table = Table::new();
    table.load_style(STYLE);
    let mut widths: Vec<usize> = heading.iter().map(|name| width(name)).collect();
    let mut styles = Vec::new();
    for (cells, style) in rows {
        let mut height = 1;
        let mut shown = Vec::new();
        for (cell, column) in cells.iter().zip(&mut widths) {
            let lines = limit.map_or_else(|| vec![cell.clone()], |limit| break_evenly(cell, limit));
            // A broken cell is as wide as its longest line might have been.
            let least = limit.filter(|_| lines.len() > 1).unwrap_or(0);
            let widest = lines.iter().map(|line| width(line)).max().unwrap_or(0);
            *column = (*column).max(widest).max(least);
            height = height.max(lines.len());
            shown.push(lines.join("\n"));
        }
        styles.extend(std::iter::repeat_n(*style, height));
        table.add_row(shown);
    }
    table.set_header(heading.iter().zip(&widths).map(|(name, column)| {
        // Where it cannot be in the middle, a heading is nearer to the left.
        let odd = if (column - width(name)) % 2 == 1 { " " } else { "" };
        Cell::new(name.to_uppercase() + odd).set_alignment(CellAlignment::Center)
    }));
    for (index, column) in widths.iter().enumerate() {
        let padded = u16::try_from(column + 2).unwrap_or(u16::MAX);
        if let Some(column) = table.column_mut(index) {
            column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(padded)));
        }
    }
    // Three lines of heading, then those of the rows, then the border.
    let mut text = String::new();
    for (index, line) in table.lines().enumerate() {
        let style =
            index.checked_sub(3).and_then(|row| styles.get(row)).copied().unwrap_or_default();
        let _ = writeln!(text, "{style}{line}{style:#}");
    }
    text
}

fn width(text: &str) -> usize {
    text.chars().count()
}

/// The lines of a cell: words are kept whole, and of all ways to break the one with the least sum of squares of
/// what is left free on each line but the last (tablewriter's `WrapWords`).
fn break_evenly(text: &str, limit: usize) -> Vec<String> {
    if width(text) <= limit {
        return vec![text.to_owned()];
    }
    let words: Vec<&str> = text.split(' ').collect();
    let limit = words.iter().map(|word| width(word)).max().unwrap_or(0).max(limit);
    let length = |from: usize, to: usize| {
        words[from..to].iter().map(|word| width(word)).sum::<usize>() + to - from - 1
    };
    // From the last word backwards: the cost of the best breaking from each word on, and where its line ends.
    let mut best = vec![(0, words.len()); words.len() + 1];
    for from in (0..words.len()).rev() {
        if length(from, words.len()) <= limit {
            continue;
        }
        let ends = (from + 1..words.len()).take_while(|end| length(from, *end) <= limit);
        best[from] = ends
            .map(|end| ((limit - length(from, end)).pow(2) + best[end].0, end))
            .min_by_key(|(cost, _)| *cost)
            .unwrap_or((usize::MAX / 2, words.len()));
    }
    let mut lines = Vec::new();
    let mut from = 0;
    while from < words.len() {
        let end = best[from].1;
        lines.push(words[from..end].join(" "));
        from = end;
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: &[&str]) -> Row {
        (cells.iter().map(ToString::to_string).collect(), Style::new())
    }

    #[test]
    fn a_table_is_calicoctls_to_the_byte() {
        let heading = ["Peer address", "Peer type", "State", "Since", "Info"];
        let rows = [
            row(&[
                "172.20.36.20",
                "node-to-node mesh",
                "start",
                "2018-10-16",
                "Connect Socket: Host is unreachable",
            ]),
            row(&["172.20.37.184", "node-to-node mesh", "up", "2018-10-16", "Established"]),
        ];
        assert_eq!(
            render(&heading, &rows, Cells::Broken, None),
            "\
+---------------+-------------------+-------+------------+--------------------------------+
| PEER ADDRESS  |     PEER TYPE     | STATE |   SINCE    |              INFO              |
+---------------+-------------------+-------+------------+--------------------------------+
| 172.20.36.20  | node-to-node mesh | start | 2018-10-16 | Connect Socket: Host is        |
|               |                   |       |            | unreachable                    |
| 172.20.37.184 | node-to-node mesh | up    | 2018-10-16 | Established                    |
+---------------+-------------------+-------+------------+--------------------------------+
"
        );
    }

    #[test]
    fn a_narrow_terminal_gets_the_table_with_cells_broken_earlier_or_paragraphs() {
        let heading = ["Peer address", "Peer type", "State", "Since", "Info"];
        let info = "Active Socket: Connection refused";
        let of = |address| [row(&[address, "node-to-node mesh", "start", "17:19:38", info])];
        let ipv4 = render(&heading, &of("192.168.63.204"), Cells::Broken, Some(80));
        assert!(ipv4.lines().all(|line| width(line) == 80), "{ipv4}");
        assert!(ipv4.contains("| Active Socket:       |"), "{ipv4}");
        let ipv6 = of("fd00:1234:5678:9abc:def0:1234:5678:9abc");
        for cells in [Cells::Broken, Cells::Whole] {
            let text = render(&heading, &ipv6, cells, Some(80));
            assert!(
                text.ends_with("    Info            Active Socket: Connection refused\n"),
                "{text}"
            );
        }
    }

    #[test]
    fn an_empty_cell_stays_a_cell() {
        let text = render(&["A", "B"], &[row(&["x", ""])], Cells::Broken, None);
        assert!(text.contains("| x |   |"), "{text}");
    }

    #[test]
    fn a_word_longer_than_the_limit_is_kept_whole() {
        let long = "fd00:1234:5678:9abc:def0:1234:5678:9abc";
        assert_eq!(break_evenly(&format!("{long} x y"), BREAK_AT), [long, "x y"]);
    }

    #[test]
    fn lines_are_as_even_as_can_be() {
        let text = "aaa bbb ccc ddd eee fff ggg hhh iii jjj kkk lll mmm nnn ooo ppp";
        let lines = break_evenly(text, BREAK_AT);
        assert!(lines.iter().all(|line| line.len() <= BREAK_AT), "{lines:?}");
        assert_eq!(lines.join(" "), text);
    }

    #[test]
    fn a_coloured_row_is_the_same_but_for_its_colour() {
        let plain = render(&["A"], &[row(&["x"])], Cells::Broken, None);
        let coloured =
            render(&["A"], &[(vec!["x".to_owned()], Style::new().bold())], Cells::Broken, None);
        assert!(coloured.contains("\x1b["));
        let bare =
            regex::Regex::new("\x1b\\[[0-9;]*m").unwrap().replace_all(&coloured, "").into_owned();
        assert_eq!(bare, plain);
    }
}
