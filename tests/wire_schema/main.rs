//! The schema of the protocol, as strangers read it: `docs/protocol/timberline.proto` to compile, and beside it the same as a
//! descriptor set, `timberline.binpb`. Both are written of `src/wire`, and no tool but this test is needed for that.
//!
//! What is published stays: a field or an enum's value that is gone, renamed, retyped or moved fails here with the sentence
//! that says which. What is only new is taken by
//!
//!     TIMBERLINE_WRITE_SCHEMA=1 cargo test --test wire_schema
//!
//! which writes both files anew. docs/PROTOCOL.md tells of codes; its tables are compared with the code here.

mod breakage;
mod descriptor;
mod documents;
mod read;
mod text;

use std::path::{Path, PathBuf};

use prost::Message as _;
use prost_types::FileDescriptorSet;

use read::Schema;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Everything in `src/wire`, file by file in the order in which a reader wants them.
fn schema() -> Schema {
    let mut schema = Schema::default();
    let mut names: Vec<String> = std::fs::read_dir(path("src/wire"))
        .expect("the folder")
        .map(|entry| entry.expect("readable").file_name().into_string().expect("a plain name"))
        .collect();
    // What clients speak comes first.
    names.sort_by_key(|name| (name != "client.rs", name != "hello.rs", name.clone()));
    for name in names {
        let file = format!("src/wire/{name}");
        schema.read(&file, &std::fs::read_to_string(path(&file)).expect("readable"));
    }
    schema.finish()
}

#[test]
fn what_is_published_stays_and_what_is_new_is_written_down() {
    let schema = schema();
    let (now, text) = (descriptor::set(&schema), text::proto(&schema));
    let (binary_path, text_path) =
        (path("docs/protocol/timberline.binpb"), path("docs/protocol/timberline.proto"));
    let published = std::fs::read(&binary_path).unwrap_or_default();
    let published = FileDescriptorSet::decode(published.as_slice()).expect("a descriptor set");
    let broken = breakage::breakages(&published, &now);
    assert!(
        broken.is_empty(),
        "this breaks the published protocol; put back what was there, and take new numbers and names for what is new:\n{}",
        broken.join("\n")
    );
    if std::env::var_os("TIMBERLINE_WRITE_SCHEMA").is_some() {
        std::fs::write(&binary_path, now.encode_to_vec()).expect("written");
        std::fs::write(&text_path, &text).expect("written");
    }
    let written = std::fs::read_to_string(&text_path).unwrap_or_default();
    assert!(
        now == published && text == written || std::env::var_os("TIMBERLINE_WRITE_SCHEMA").is_some(),
        "src/wire has what docs/protocol has not, and breaks nothing; write it down by\n    \
         TIMBERLINE_WRITE_SCHEMA=1 cargo test --test wire_schema"
    );
}

#[test]
fn a_oneof_lists_the_numbers_of_its_variants() {
    // A number listed without a variant is one over which decoding panics; one missing is never decoded.
    for oneof in &schema().oneof_lists {
        let (message, listed, variants) = oneof;
        assert_eq!(listed, variants, "the oneof of {message}: `tags` against the variants' tags");
    }
}

#[test]
fn numbers_that_are_burnt_are_not_used() {
    let schema = schema();
    for (message, number) in descriptor::BURNT {
        let message = schema.message(message).expect("the message");
        assert!(message.fields.iter().all(|field| field.number != number), "{} of {}", number, message.name);
    }
}
