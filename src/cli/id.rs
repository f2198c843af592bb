//! What `explain` takes: any text, so that a mistyped id gets an answer of ours, and completions know all ids.

use std::ffi::OsStr;

use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use clap::{Arg, Command, Error};

use crate::checks::CHECKS;

/// The id of a finding, or the name of a check.
#[derive(Debug, Clone, Copy)]
pub(super) struct FindingOrCheck;

impl TypedValueParser for FindingOrCheck {
    type Value = String;

    fn parse_ref(
        &self,
        command: &Command,
        arg: Option<&Arg>,
        value: &OsStr,
    ) -> Result<String, Error> {
        StringValueParser::new().parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(CHECKS.iter().flat_map(|check| {
            let about = PossibleValue::new(check.name).help(check.about);
            let kinds =
                check.finds.iter().map(|kind| PossibleValue::new(kind.id).help(kind.passes));
            std::iter::once(about).chain(kinds)
        })))
    }
}
