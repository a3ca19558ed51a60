//! What of a published schema another one breaks, sentence by sentence. What is only added breaks nothing.

use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet,
};

/// Each thing that is published and not so any more.
pub(crate) fn breakages(published: &FileDescriptorSet, now: &FileDescriptorSet) -> Vec<String> {
    let mut broken = Vec::new();
    for file in &published.file {
        let Some(new) = now.file.iter().find(|new| new.name == file.name && new.package == file.package)
        else {
            broken.push(format!("the file {} of package {} is gone", file.name(), file.package()));
            continue;
        };
        of_file(file, new, &mut broken);
    }
    broken
}

fn of_file(old: &FileDescriptorProto, new: &FileDescriptorProto, broken: &mut Vec<String>) {
    for message in &old.message_type {
        match new.message_type.iter().find(|found| found.name == message.name) {
            Some(found) => of_message(message, found, broken),
            None => broken.push(format!("the message {} is gone or renamed", message.name())),
        }
    }
    for one in &old.enum_type {
        match new.enum_type.iter().find(|found| found.name == one.name) {
            Some(found) => of_enum(one, found, broken),
            None => broken.push(format!("the enum {} is gone or renamed", one.name())),
        }
    }
}

fn of_message(old: &DescriptorProto, new: &DescriptorProto, broken: &mut Vec<String>) {
    let name = old.name();
    for field in &old.field {
        let was = format!("number {} of {name} was `{}`", field.number(), described(old, field));
        match new.field.iter().find(|found| found.number == field.number) {
            None => broken.push(format!("{was} and is gone")),
            Some(found) if described(new, found) != described(old, field) => {
                broken.push(format!("{was} and is `{}`", described(new, found)));
            }
            Some(_) => {}
        }
    }
    for range in &old.reserved_range {
        let uses = new.field.iter().find(|field| (range.start()..range.end()).contains(&field.number()));
        if let Some(field) = uses {
            broken.push(format!(
                "number {} of {name} is burnt and is used by `{}`",
                field.number(),
                field.name()
            ));
        }
    }
}

/// A field as a `.proto` has it, but for its number.
fn described(message: &DescriptorProto, field: &FieldDescriptorProto) -> String {
    let label = match field.label() {
        prost_types::field_descriptor_proto::Label::Repeated => "repeated ",
        _ if field.proto3_optional() => "optional ",
        _ => "",
    };
    let kind = match field.type_name() {
        "" => format!("{:?}", field.r#type()).to_lowercase(),
        named => named.rsplit('.').next().unwrap_or(named).to_owned(),
    };
    let oneof = field.oneof_index.filter(|_| !field.proto3_optional());
    let oneof = oneof.and_then(|at| message.oneof_decl.get(usize::try_from(at).ok()?));
    let within = oneof.map(|oneof| format!(" in the oneof {}", oneof.name())).unwrap_or_default();
    format!("{label}{kind} {}{within}", field.name())
}

fn of_enum(old: &EnumDescriptorProto, new: &EnumDescriptorProto, broken: &mut Vec<String>) {
    for value in &old.value {
        let was = format!("{} of {} was {}", value.number(), old.name(), value.name());
        match new.value.iter().find(|found| found.number == value.number) {
            None => broken.push(format!("{was} and is gone")),
            Some(found) if found.name != value.name => broken.push(format!("{was} and is {}", found.name())),
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::descriptor;
    use crate::read::Schema;

    const PUBLISHED: &str = r#"
/// Said first.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Hello {
    #[prost(uint32, tag = "1")]
    pub protocol: u32,
    /// Many.
    #[prost(string, repeated, tag = "2")]
    pub names: Vec<String>,
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub key: Option<bytes::Bytes>,
    #[prost(enumeration = "Code", tag = "4")]
    pub code: i32,
    #[prost(oneof = "Body", tags = "5, 6")]
    pub body: Option<Body>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Body {
    #[prost(message, tag = "5")]
    Inner(Inner),
    #[prost(bool, tag = "6")]
    Flag(bool),
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Inner {
    #[prost(message, optional, tag = "1")]
    pub deeper: Option<super::Hello>,
}

#[derive(Clone, Copy, prost::Enumeration)]
#[repr(i32)]
pub enum Code {
    Fine = 0,
    NotLeader = 1,
}
"#;

    fn of(text: &str) -> FileDescriptorSet {
        let mut schema = Schema::default();
        schema.read("src/wire/snippet.rs", text);
        descriptor::set(&schema.finish())
    }

    fn broken(from: &str, to: &str) -> Vec<String> {
        assert!(PUBLISHED.contains(from), "{from}");
        breakages(&of(PUBLISHED), &of(&PUBLISHED.replace(from, to)))
    }

    #[test]
    fn each_kind_of_breakage_is_named() {
        for (from, to, sentence) in [
            (
                "pub protocol:",
                "pub version:",
                "number 1 of Hello was `uint32 protocol` and is `uint32 version`",
            ),
            ("prost(uint32, tag = \"1\")", "prost(fixed32, tag = \"1\")", "and is `fixed32 protocol`"),
            ("prost(uint32, tag = \"1\")", "prost(uint32, tag = \"9\")", "`uint32 protocol` and is gone"),
            ("string, repeated, tag", "string, tag", "`repeated string names` and is `string names`"),
            ("\"bytes\", optional,", "\"bytes\",", "`optional bytes key` and is `bytes key`"),
            (
                "Flag(bool)",
                "Flags(bool)",
                "`bool flag in the oneof body` and is `bool flags in the oneof body`",
            ),
            ("    NotLeader = 1,\n", "", "1 of Code was CODE_NOT_LEADER and is gone"),
            ("NotLeader = 1", "Leader = 1", "1 of Code was CODE_NOT_LEADER and is CODE_LEADER"),
            ("NotLeader = 1", "NotLeader = 2", "1 of Code was CODE_NOT_LEADER and is gone"),
        ] {
            let broken = broken(from, to);
            assert!(broken.len() == 1 && broken[0].contains(sentence), "{from} to {to}: {broken:?}");
        }
        let renamed = breakages(&of(PUBLISHED), &of(&PUBLISHED.replace("Inner", "Outer")));
        assert!(renamed.contains(&"the message Inner is gone or renamed".to_owned()), "{renamed:?}");
        let renamed = breakages(&of(PUBLISHED), &of(&PUBLISHED.replace("Code", "Kode")));
        assert!(renamed.contains(&"the enum Code is gone or renamed".to_owned()), "{renamed:?}");
    }

    #[test]
    fn what_is_added_or_said_otherwise_breaks_nothing() {
        let field = "    #[prost(uint32, tag = \"7\")]\n    pub later: u32,\n    /// Many.\n";
        assert_eq!(broken("    /// Many.\n", field), Vec::<String>::new());
        assert_eq!(
            broken("    NotLeader = 1,\n", "    NotLeader = 1,\n    Late = 2,\n"),
            Vec::<String>::new()
        );
        assert_eq!(broken("/// Said first.", "/// Said at first."), Vec::<String>::new());
        assert_eq!(breakages(&FileDescriptorSet::default(), &of(PUBLISHED)), Vec::<String>::new());
    }

    #[test]
    fn a_number_that_is_burnt_stays_so() {
        let mut published = of(PUBLISHED);
        let burnt = prost_types::descriptor_proto::ReservedRange { start: Some(8), end: Some(9) };
        published.file[0].message_type[0].reserved_range.push(burnt);
        let field = "    #[prost(uint32, tag = \"8\")]\n    pub later: u32,\n    /// Many.\n";
        let broken = breakages(&published, &of(&PUBLISHED.replace("    /// Many.\n", field)));
        assert_eq!(broken, ["number 8 of Hello is burnt and is used by `later`"]);
    }
}
