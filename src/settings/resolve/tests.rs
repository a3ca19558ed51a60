//! What a configuration that is wrong says, and which source wins.

use super::*;
use std::time::Duration;

const MINIMAL: &str = r#"[cluster]
id = "c"
initial_nodes = [{ id = 1, address = "127.0.0.1:7400" }, { id = 2, address = "127.0.0.1:7401" }]
[node]
id = 2
data_dir = "d"
certs_dir = "certs"
"#;

fn sources(tail: &str) -> Sources {
    let text = format!("{MINIMAL}{tail}");
    Sources { file: Some(ConfigFile { name: "node.toml".into(), text }), ..Sources::default() }
}

fn refusal(tail: &str) -> String {
    load(&sources(tail)).expect_err("it is refused").to_string()
}

#[test]
fn a_minimal_file_gets_the_safe_defaults_and_listens_on_its_own_address() {
    let settings = load(&sources("")).unwrap().settings;
    assert_eq!(settings.node.listen.to_string(), "127.0.0.1:7401");
    assert_eq!(settings.clock.eps_max, Duration::from_millis(10));
    assert_eq!(settings.metrics_listen, None);
    assert!(!settings.testing_enabled);
    assert_eq!((settings.replication.election_ticks_min, settings.replication.election_ticks_max), (10, 20));
}

#[test]
fn a_misspelt_key_names_file_line_column_and_the_key_meant() {
    let text = refusal("[clock]\nuncertanty = \"1ms\"\n");
    assert_eq!(text, "node.toml:9:1: unknown setting `clock.uncertanty` (did you mean `clock.uncertainty`?)");
    assert!(
        refusal("[colck]\n").contains("node.toml:8:2: unknown section `colck` (did you mean `[clock]`?)")
    );
}

#[test]
fn a_wrong_unit_or_kind_says_what_was_expected() {
    let text = refusal("[clock]\neps_max = \"10mss\"\n");
    assert!(
        text.starts_with("node.toml:9:11: `clock.eps_max` cannot be used: \"10mss\" is not a duration"),
        "{text}"
    );
    assert!(refusal("[clock]\neps_max = 10\n").contains("10 has no unit"));
    assert!(refusal("[storage]\nsegment_max = \"64MB\"\n").contains("such as 64KiB"));
    assert!(refusal("[testing]\nenabled = \"yes\"\n").contains("`testing.enabled` takes true or false"));
    assert!(refusal("[limits]\nconnections = 0\n").contains("out of bounds: from 1 to"));
}

#[test]
fn all_mistakes_are_reported_at_once_from_the_top_of_the_file() {
    let text = refusal("[clock]\nx = 1\neps_max = 3\n");
    let places: Vec<_> = text.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(places, ["node.toml:9:1:", "node.toml:10:11:"]);
}

#[test]
fn a_word_that_cannot_be_chosen_is_refused_with_the_reason_and_what_can() {
    let text = refusal("[clock]\nsource = \"ptp\"\n");
    assert!(
        text.contains("\"ptp\" comes through chrony or ClockBound") && text.contains("\"chrony\""),
        "{text}"
    );
    let text = refusal("[clock]\nsource = \"gps\"\n");
    assert!(text.contains("\"gps\" is not a choice; there are: auto, clockbound"), "{text}");
    for daemon in ["systemd-timesyncd", "linuxptp"] {
        let text = refusal(&format!("[clock]\nkernel_attested = \"{daemon}\"\n"));
        assert!(text.contains("writes a maxerror of 0"), "{text}");
    }
}

#[test]
fn the_kernel_is_a_source_only_if_its_writer_is_attested() {
    let text = refusal("[clock]\nsource = \"kernel\"\n");
    assert!(text.contains("nobody attests who writes the kernel's maxerror"), "{text}");
    let attested = "[clock]\nsource = \"kernel\"\nkernel_attested = \"chronyd\"\n";
    assert_eq!(load(&sources(attested)).unwrap().settings.clock.kernel_attested.as_deref(), Some("chronyd"));
}

#[test]
fn a_chronyd_of_another_machine_is_refused() {
    let text = refusal("[clock]\nchrony_address = \"192.0.2.1:323\"\n");
    assert!(text.contains("another machine's chronyd") && text.contains("127.0.0.1:323"), "{text}");
}

#[test]
fn a_clash_points_at_the_value_to_change() {
    assert!(
        refusal("[clock]\nuncertainty = \"20ms\"\nsource = \"declared\"\n")
            .starts_with("node.toml:9:15: clock.uncertainty is above")
    );
    assert!(
        refusal("[metrics]\nlisten = \"127.0.0.1:7401\"\n").contains("node.toml:9:10: metrics.listen is")
    );
    let overridden = Sources { overrides: vec!["node.id=9".into()], ..sources("") };
    let text = load(&overridden).unwrap_err().to_string();
    assert!(
        text.contains("node.id (--set): node.id is 9, but cluster.initial_nodes lists only 1, 2"),
        "{text}"
    );
}

#[test]
fn a_setting_of_faults_needs_testing_enabled() {
    let inject = "[clock]\ninject_file = \"inject-{node}\"\n";
    assert!(refusal(inject).contains("testing.enabled is false"));
    assert!(load(&sources(&format!("{inject}[testing]\nenabled = true\n"))).is_ok());
}

#[test]
fn flag_wins_over_environment_over_file_over_default() {
    let mut sources = sources("[clock]\nuncertainty = \"2ms\"\ndrift_ppb = 100\neps_max = \"20ms\"\n");
    let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    sources.environment =
        vec![variable("TIMBERLINE_CLOCK_UNCERTAINTY", "3ms"), variable("TIMBERLINE_CLOCK_DRIFT_PPB", "200")];
    sources.overrides = vec!["clock.uncertainty=4ms".into()];
    let resolved = load(&sources).unwrap();
    let origin = |key: &str| {
        let entry = resolved.entries.iter().find(|entry| entry.setting.key == key).unwrap();
        (entry.value.to_string(), entry.origin.to_string())
    };
    assert_eq!(origin("clock.uncertainty"), ("4ms".into(), "--set".into()));
    assert_eq!(origin("clock.drift_ppb"), ("200".into(), "TIMBERLINE_CLOCK_DRIFT_PPB".into()));
    assert_eq!(origin("clock.eps_max"), ("20ms".into(), "node.toml:11:11".into()));
    assert_eq!(origin("clock.source"), ("auto".into(), "default".into()));
}

#[test]
fn a_variable_or_flag_that_names_no_setting_is_refused() {
    let mut wrong = sources("");
    wrong.environment =
        vec![("TIMBERLINE_CLOCK_EPSMAX".into(), "1ms".into()), ("TIMBERLINE_CERTS".into(), "x".into())];
    wrong.overrides = vec!["clock.epsmax=1ms".into(), "clock.eps_max".into()];
    let text = load(&wrong).unwrap_err().to_string();
    assert_eq!(text.matches("did you mean `clock.eps_max`?").count(), 2, "{text}");
    assert!(text.contains("there is no `=`"), "{text}");
}

#[test]
fn what_is_missing_is_named() {
    let text = load(&Sources::default()).unwrap_err().to_string();
    for key in ["cluster.id", "cluster.initial_nodes", "node.id", "node.data_dir", "node.certs_dir"] {
        assert!(text.contains(&format!("`{key}` is missing")), "{text}");
    }
}
