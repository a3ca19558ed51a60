//! The schema as a `.proto` file, with the comments of the code.

use std::fmt::Write as _;

use super::descriptor::{BURNT, PACKAGE, value_name};
use super::read::{Field, Label, Message, Schema};

const HEADER: &str = "\
// The messages of Timberline's protocol. docs/PROTOCOL.md says how they are framed, what goes beside them, and who sends what.
//
// Written of src/wire by `TIMBERLINE_WRITE_SCHEMA=1 cargo test --test wire_schema`; change those files, not this one.
// Fields are only ever added: skip what you do not know. A field that is not there has its type's zero.
";

pub(crate) fn proto(schema: &Schema) -> String {
    let mut text = format!("{HEADER}\nsyntax = \"proto3\";\n\npackage {PACKAGE};\n");
    for section in &schema.sections {
        text += "\n// ----------------------------------------------------------------------------\n";
        comment(&mut text, "", &section.about);
        section.messages.iter().for_each(|found| message(&mut text, found));
    }
    for found in &schema.enums {
        text.push('\n');
        comment(&mut text, "", &found.about);
        writeln!(text, "enum {} {{", found.name).expect("a string takes all");
        for value in &found.values {
            comment(&mut text, "  ", &value.about);
            writeln!(text, "  {} = {};", value_name(found, &value.name), value.number)
                .expect("a string takes all");
        }
        text += "}\n";
    }
    text
}

fn comment(text: &mut String, indent: &str, lines: &[String]) {
    for line in lines {
        writeln!(text, "{}", format!("{indent}// {line}").trim_end()).expect("a string takes all");
    }
}

fn message(text: &mut String, message: &Message) {
    text.push('\n');
    comment(text, "", &message.about);
    writeln!(text, "message {} {{", message.name).expect("a string takes all");
    for (_, number) in BURNT.iter().filter(|(name, _)| *name == message.name) {
        writeln!(text, "  reserved {number};").expect("a string takes all");
    }
    let mut open: Option<&str> = None;
    for field in &message.fields {
        if open != field.oneof.as_deref() {
            if open.is_some() {
                *text += "  }\n";
            }
            if let Some(oneof) = &field.oneof {
                writeln!(text, "  oneof {oneof} {{").expect("a string takes all");
            }
            open = field.oneof.as_deref();
        }
        let indent = if open.is_some() { "    " } else { "  " };
        one_field(text, indent, field);
    }
    *text += if open.is_some() { "  }\n}\n" } else { "}\n" };
}

fn one_field(text: &mut String, indent: &str, field: &Field) {
    comment(text, indent, &field.about);
    let label = match field.label {
        Label::Single => "",
        Label::Optional => "optional ",
        Label::Repeated => "repeated ",
    };
    writeln!(text, "{indent}{label}{} {} = {};", field.kind, field.name, field.number)
        .expect("a string takes all");
}
