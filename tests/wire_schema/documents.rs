//! The tables of docs/PROTOCOL.md, compared with the code.

use std::collections::BTreeSet;

use timberline::transport::CloseCode;

use super::read::snake;
use super::{path, schema};

/// The rows under a heading, cell by cell, without the table's head.
fn rows(heading: &str) -> Vec<Vec<String>> {
    let document = std::fs::read_to_string(path("docs/PROTOCOL.md")).expect("readable");
    let (_, behind) =
        document.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no {heading}"));
    let section = behind.split("\n## ").next().unwrap_or("");
    let cells = |line: &str| -> Vec<String> {
        line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    let rows: Vec<Vec<String>> = section
        .lines()
        .filter(|line| line.starts_with('|'))
        .map(cells)
        .filter(|row| is_numbered(row))
        .collect();
    assert!(!rows.is_empty(), "{heading} has a table");
    rows
}

fn is_numbered(row: &[String]) -> bool {
    row[0].parse::<u32>().is_ok()
}

#[test]
fn the_table_of_error_codes_has_each_with_the_meaning_that_the_code_gives_it() {
    let schema = schema();
    let codes = schema.enums.iter().find(|found| found.name == "ErrorCode").expect("the error codes");
    let expected: Vec<_> = codes
        .values
        .iter()
        .map(|value| vec![value.number.to_string(), value.name.clone(), value.about.join(" ")])
        .collect();
    let told: Vec<_> = rows("Error codes").into_iter().map(|row| row[..3].to_vec()).collect();
    assert_eq!(told, expected);
}

/// What the sources of a node's sessions say of a code beside it: `retryable` and the outcome.
fn said_by_sessions() -> BTreeSet<(String, bool, &'static str)> {
    let mut said = BTreeSet::new();
    for entry in std::fs::read_dir(path("src/node/session")).expect("the folder") {
        let text = std::fs::read_to_string(entry.expect("readable").path()).expect("readable");
        for (call, outcome) in [("error(ErrorCode::", "not applied"), ("unknown(ErrorCode::", "unknown")] {
            for (_, behind) in text.match_indices(call).map(|(at, _)| text.split_at(at + call.len())) {
                let name = behind.split(|c: char| !c.is_alphanumeric()).next().unwrap_or("").to_owned();
                let next = behind[name.len()..].trim_start_matches([',', ' ', '\n']);
                let retryable = outcome == "unknown" || next.starts_with("true");
                assert!(
                    retryable || next.starts_with("false"),
                    "whether {name} is retryable is said beside it"
                );
                said.insert((name, retryable, outcome));
            }
        }
    }
    said
}

#[test]
fn the_table_of_error_codes_says_of_each_what_the_sessions_say() {
    let rows = rows("Error codes");
    let said = said_by_sessions();
    assert!(said.len() > 10, "the calls are found: {said:?}");
    for (name, retryable, outcome) in said {
        let row = rows.iter().find(|row| row[1] == name).expect("a row for each code");
        let is_told = row[3] == "either" || row[3] == if retryable { "yes" } else { "no" };
        assert!(is_told, "{name} is answered with retryable = {retryable}, the table says {}", row[3]);
        assert!(
            row[4] == "either" || row[4] == outcome,
            "{name} is answered as {outcome}: the table says {}",
            row[4]
        );
    }
}

#[test]
fn the_table_of_close_codes_has_each() {
    let mut told = 0;
    for row in rows("Close codes") {
        let code = CloseCode::from_wire(row[0].parse().expect("a number")).expect("a code");
        assert_eq!((format!("{code:?}"), code as u32), (row[1].clone(), told));
        told += 1;
    }
    assert_eq!(CloseCode::from_wire(told.into()), None, "the table ends with the last code");
}

#[test]
fn the_tables_of_requests_and_answers_have_each_body() {
    let schema = schema();
    for (message, heading) in [("Request", "Requests"), ("Response", "Answers")] {
        let fields = &schema.message(message).expect("the message").fields;
        let body =
            |field: &super::read::Field| (field.number.to_string(), field.name.clone(), field.kind.clone());
        let expected: Vec<_> = fields.iter().filter(|field| field.oneof.is_some()).map(body).collect();
        let word = |cell: &String| cell.trim_matches('`').to_owned();
        let told: Vec<_> =
            rows(heading).iter().map(|row| (row[0].clone(), snake(&word(&row[1])), word(&row[2]))).collect();
        assert_eq!(told, expected, "the table under {heading}");
    }
}
