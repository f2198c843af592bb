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

/// The table, with a newline at its end. Cells must be printable. With `broken`, long cells are broken as
/// calicoctl does; otherwise a row is one line.
#[must_use]
pub fn render(heading: &[&str], rows: &[Row], broken: bool) -> String {
    let mut table = Table::new();
    table.load_style(STYLE);
    let mut widths: Vec<usize> = heading.iter().map(|name| width(name)).collect();
    let mut styles = Vec::new();
    for (cells, style) in rows {
        let mut height = 1;
        let mut shown = Vec::new();
        for (cell, column) in cells.iter().zip(&mut widths) {
            let lines = if broken { break_evenly(cell) } else { vec![cell.clone()] };
            // A broken cell is as wide as its longest line might have been.
            let least = if lines.len() > 1 { BREAK_AT } else { 0 };
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
fn break_evenly(text: &str) -> Vec<String> {
    if width(text) <= BREAK_AT {
        return vec![text.to_owned()];
    }
    let words: Vec<&str> = text.split(' ').collect();
    let limit = words.iter().map(|word| width(word)).max().unwrap_or(0).max(BREAK_AT);
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
            render(&heading, &rows, true),
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
    fn an_empty_cell_stays_a_cell() {
        let text = render(&["A", "B"], &[row(&["x", ""])], true);
        assert!(text.contains("| x |   |"), "{text}");
    }

    #[test]
    fn a_word_longer_than_the_limit_is_kept_whole() {
        let long = "fd00:1234:5678:9abc:def0:1234:5678:9abc";
        assert_eq!(break_evenly(&format!("{long} x y")), [long, "x y"]);
    }

    #[test]
    fn lines_are_as_even_as_can_be() {
        let text = "aaa bbb ccc ddd eee fff ggg hhh iii jjj kkk lll mmm nnn ooo ppp";
        let lines = break_evenly(text);
        assert!(lines.iter().all(|line| line.len() <= BREAK_AT), "{lines:?}");
        assert_eq!(lines.join(" "), text);
    }

    #[test]
    fn a_coloured_row_is_the_same_but_for_its_colour() {
        let plain = render(&["A"], &[row(&["x"])], true);
        let coloured = render(&["A"], &[(vec!["x".to_owned()], Style::new().bold())], true);
        assert!(coloured.contains("\x1b["));
        let bare =
            regex::Regex::new("\x1b\\[[0-9;]*m").unwrap().replace_all(&coloured, "").into_owned();
        assert_eq!(bare, plain);
    }
}
