//! The schema as a descriptor set, which every language's protobuf reads: what `protoc --descriptor_set_out` would make of
//! the text.

use prost_types::descriptor_proto::ReservedRange;
use prost_types::field_descriptor_proto::{Label as ProtoLabel, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto,
    FileDescriptorProto, FileDescriptorSet, OneofDescriptorProto,
};

use super::read::{Enum, Field, Label, Message, Schema, snake};

pub(crate) const FILE: &str = "timberline.proto";
pub(crate) const PACKAGE: &str = "timberline.v1";
/// Numbers that no field may have. Nodes of the first builds list this one without a variant, and fail over it.
pub(crate) const BURNT: [(&str, i32); 1] = [("Request", 12)];

pub(crate) fn set(schema: &Schema) -> FileDescriptorSet {
    let file = FileDescriptorProto {
        name: Some(FILE.to_owned()),
        package: Some(PACKAGE.to_owned()),
        message_type: schema.messages().map(|message| of_message(schema, message)).collect(),
        enum_type: schema.enums.iter().map(of_enum).collect(),
        syntax: Some("proto3".to_owned()),
        ..FileDescriptorProto::default()
    };
    FileDescriptorSet { file: vec![file] }
}

fn of_message(schema: &Schema, message: &Message) -> DescriptorProto {
    let mut oneofs: Vec<String> = message.fields.iter().filter_map(|field| field.oneof.clone()).collect();
    oneofs.dedup();
    let mut described = Vec::new();
    for field in &message.fields {
        let mut proto = of_field(schema, field);
        let belongs_to = match (&field.oneof, field.label) {
            (Some(oneof), _) => Some(oneof.clone()),
            // As proto3 tells presence: a oneof of one.
            (None, Label::Optional) => Some(format!("_{}", field.name)),
            _ => None,
        };
        if let Some(name) = belongs_to {
            let at = oneofs.iter().position(|oneof| *oneof == name).unwrap_or_else(|| {
                oneofs.push(name);
                oneofs.len() - 1
            });
            proto.oneof_index = Some(i32::try_from(at).expect("few oneofs"));
        }
        described.push(proto);
    }
    let burnt = BURNT.iter().filter(|(name, _)| *name == message.name);
    let range = |number: i32| ReservedRange { start: Some(number), end: Some(number + 1) };
    DescriptorProto {
        name: Some(message.name.clone()),
        field: described,
        oneof_decl: oneofs
            .into_iter()
            .map(|name| OneofDescriptorProto { name: Some(name), ..OneofDescriptorProto::default() })
            .collect(),
        reserved_range: burnt.map(|(_, number)| range(*number)).collect(),
        ..DescriptorProto::default()
    }
}

fn of_field(schema: &Schema, field: &Field) -> FieldDescriptorProto {
    let scalar = scalar(&field.kind);
    let kind = scalar.unwrap_or(if schema.is_enum(&field.kind) { Type::Enum } else { Type::Message });
    if kind == Type::Message {
        assert!(schema.message(&field.kind).is_some(), "{} is no message of src/wire", field.kind);
    }
    let label = if field.label == Label::Repeated { ProtoLabel::Repeated } else { ProtoLabel::Optional };
    FieldDescriptorProto {
        name: Some(field.name.clone()),
        number: Some(field.number),
        label: Some(label as i32),
        r#type: Some(kind as i32),
        type_name: scalar.is_none().then(|| format!(".{PACKAGE}.{}", field.kind)),
        json_name: Some(json_name(&field.name)),
        proto3_optional: (field.label == Label::Optional).then_some(true),
        ..FieldDescriptorProto::default()
    }
}

fn scalar(kind: &str) -> Option<Type> {
    Some(match kind {
        "bool" => Type::Bool,
        "bytes" => Type::Bytes,
        "fixed32" => Type::Fixed32,
        "fixed64" => Type::Fixed64,
        "int32" => Type::Int32,
        "int64" => Type::Int64,
        "sint64" => Type::Sint64,
        "string" => Type::String,
        "uint32" => Type::Uint32,
        "uint64" => Type::Uint64,
        _ => return None,
    })
}

fn json_name(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or("").to_owned();
    words.fold(first, |json, word| {
        let mut letters = word.chars();
        json + &letters.next().map(|c| c.to_ascii_uppercase()).into_iter().chain(letters).collect::<String>()
    })
}

/// A value's name with its enumeration's before it, for all of a package's values share one space of names.
pub(crate) fn value_name(of: &Enum, value: &str) -> String {
    format!("{}_{}", snake(&of.name), snake(value)).to_uppercase()
}

fn of_enum(found: &Enum) -> EnumDescriptorProto {
    let value = |value: &super::read::Value| EnumValueDescriptorProto {
        name: Some(value_name(found, &value.name)),
        number: Some(value.number),
        ..EnumValueDescriptorProto::default()
    };
    EnumDescriptorProto {
        name: Some(found.name.clone()),
        value: found.values.iter().map(value).collect(),
        ..EnumDescriptorProto::default()
    }
}
