//! The commented example configuration, filled in for one node of a cluster on one machine.

/// Which node of which cluster the template is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TemplateOptions {
    pub node: u64,
    pub nodes: u64,
    /// Node N listens on `base_port + N - 1`, and serves metrics 100 ports above.
    pub base_port: u16,
}

impl Default for TemplateOptions {
    fn default() -> Self {
        Self { node: 1, nodes: 3, base_port: 7400 }
    }
}

const TEXT: &str = include_str!("../../config/timberline.toml");

/// How far a node's metrics port lies above its own in a template.
const METRICS_PORT_STEP: u64 = 100;

/// The template as text. Refuses a node outside the cluster and ports that do not exist.
pub fn template(options: TemplateOptions) -> Result<String, String> {
    let TemplateOptions { node, nodes, base_port } = options;
    let nodes_max = METRICS_PORT_STEP;
    if nodes == 0 || nodes > nodes_max || node == 0 || node > nodes {
        return Err(format!(
            "node {node} of {nodes}: a template is for node 1..NODES of at most {nodes_max}"
        ));
    }
    if base_port == 0 || u64::from(base_port) + nodes - 1 + METRICS_PORT_STEP > u64::from(u16::MAX) {
        return Err(format!(
            "base port {base_port} leaves no room for the ports of {nodes} nodes and their metrics"
        ));
    }
    let mut filled = String::new();
    let mut section = "";
    let mut lines = TEXT.lines();
    while let Some(line) = lines.next() {
        if line.starts_with('[') {
            section = line;
        }
        let key = line.split(" = ").next().unwrap_or(line);
        if key == "initial_nodes" {
            lines.by_ref().find(|line| *line == "]");
        }
        filled += &line_for(options, section, key).unwrap_or_else(|| line.to_owned());
        filled.push('\n');
    }
    Ok(filled)
}

/// The line of a key that differs from node to node.
fn line_for(options: TemplateOptions, section: &str, key: &str) -> Option<String> {
    let TemplateOptions { node, nodes, base_port } = options;
    let port = |node: u64| u64::from(base_port) + node - 1;
    match (section, key) {
        ("[cluster]", "initial_nodes") => {
            let listed =
                (1..=nodes).map(|n| format!("    {{ id = {n}, address = \"127.0.0.1:{}\" }},\n", port(n)));
            Some(format!("initial_nodes = [\n{}]", listed.collect::<String>()))
        }
        ("[node]", "id") => Some(format!("id = {node}")),
        ("[node]", "listen") => Some(format!("listen = \"127.0.0.1:{}\"", port(node))),
        ("[node]", "data_dir") => Some(format!("data_dir = \"node-{node}\"")),
        ("[metrics]", "listen") => Some(format!("listen = \"127.0.0.1:{}\"", port(node) + METRICS_PORT_STEP)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{CATALOGUE, ConfigFile, NodeSettings, Origin, Resolved, Settings, Sources, load};

    fn parsed(options: TemplateOptions) -> Resolved {
        let text = template(options).unwrap();
        load(&Sources { file: Some(ConfigFile { name: "t.toml".into(), text }), ..Sources::default() })
            .unwrap()
    }

    /// Right for the template's cluster alone: its nodes share one machine, and so one clock.
    const ON_ONE_MACHINE: (&str, &str) = ("clock.source", "declared");

    #[test]
    fn the_template_equals_the_defaults_and_documents_every_setting() {
        for entry in parsed(TemplateOptions::default()).entries {
            let setting = entry.setting;
            if setting.fault {
                assert!(TEXT.contains(&format!("# {} = ", setting.key.split('.').next_back().unwrap())));
                continue;
            }
            assert_ne!(entry.origin, Origin::Default, "{} is not in the template", setting.key);
            let (differs, value) = ON_ONE_MACHINE;
            let expected = if setting.key == differs { value } else { setting.default };
            if !expected.is_empty() {
                assert_eq!(entry.value.to_string(), expected, "{}", setting.key);
            }
        }
        let keys = TEXT
            .lines()
            .filter(|line| !line.starts_with('#') && line.contains(" = ") && !line.starts_with(' '));
        assert_eq!(keys.count(), CATALOGUE.iter().filter(|setting| !setting.fault).count());
    }

    #[test]
    fn the_default_template_is_the_file_itself() {
        assert_eq!(template(TemplateOptions::default()).unwrap(), TEXT);
    }

    #[test]
    fn templates_of_one_cluster_agree_and_never_share_a_port_or_folder() {
        let of = |node| parsed(TemplateOptions { node, nodes: 3, base_port: 7500 }).settings;
        let all: Vec<Settings> = (1..=3).map(of).collect();
        for (a, b) in [(0, 1), (0, 2), (1, 2)] {
            let (a, b): (&Settings, &Settings) = (&all[a], &all[b]);
            assert_eq!(a.cluster, b.cluster);
            let folders = |n: &NodeSettings| (n.listen, n.data_dir.clone());
            assert_ne!(folders(&a.node), folders(&b.node));
            assert_ne!(a.metrics_listen, b.metrics_listen);
        }
        assert_eq!(all[2].node.listen.to_string(), "127.0.0.1:7502");
    }

    #[test]
    fn a_template_for_no_such_node_or_port_is_refused() {
        for (node, nodes, base_port) in [(0, 3, 7400), (4, 3, 7400), (1, 0, 7400), (1, 3, 65_500), (1, 3, 0)]
        {
            assert!(template(TemplateOptions { node, nodes, base_port }).is_err());
        }
    }
}
