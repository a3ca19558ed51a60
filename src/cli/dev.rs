//! `dev`: a whole cluster in this process, on this machine, with certificates of its own.

use std::path::Path;
use std::time::Duration;

use super::arguments::{Common, DevArguments};
use super::configuration::{environment, refused};
use super::failure::Failure;
use super::logging;
use super::output::{print_line, say};
use super::serve::{StopSignals, options};
use crate::node::{Node, NodeHandle};
use crate::settings::{ConfigFile, Settings, Sources, TemplateOptions, load, template};
use crate::transport::init_certs;

const LOOK_EVERY: Duration = Duration::from_millis(20);

pub(super) fn dev(arguments: &DevArguments, common: &Common) -> Result<(), Failure> {
    if common.output.is_some() {
        return Err(Failure::usage("`dev` prints no data: leave -o out"));
    }
    let all: Vec<Settings> =
        (1..=arguments.nodes).map(|node| settings(arguments, node)).collect::<Result<_, _>>()?;
    let certs = arguments.data.join("certs");
    if !certs.join("ca.pem").exists() {
        init_certs(&certs, arguments.nodes)?;
    }
    // Quiet unless asked: the terminal is the user's.
    let log = crate::settings::LogSettings { level: "warn".into(), ..all[0].log.clone() };
    logging::start(&log, common.verbose);
    let mut stop = StopSignals::listen()?;
    let nodes: Vec<NodeHandle> = all.iter().map(|one| Node::start(options(one))).collect::<Result<_, _>>()?;
    while !nodes.iter().all(NodeHandle::ready) {
        if stop.wait_for(LOOK_EVERY) {
            return shut_down(nodes);
        }
    }
    let endpoints: Vec<String> = nodes.iter().map(|node| node.address().to_string()).collect();
    print_line(&format!("ready\nendpoints {}\ncerts {}", endpoints.join(","), certs.display()))?;
    say(&next_steps(arguments));
    stop.wait();
    shut_down(nodes)
}

/// One after the other would hand leaderships round and round: all are told at once.
fn shut_down(nodes: Vec<NodeHandle>) -> Result<(), Failure> {
    let stopping: Vec<_> =
        nodes.into_iter().map(|node| std::thread::spawn(move || node.shutdown())).collect();
    for thread in stopping {
        thread.join().map_err(|_| Failure::plain("a node did not stop cleanly; its panic stands above"))?;
    }
    Ok(())
}

fn settings(arguments: &DevArguments, node: u64) -> Result<Settings, Failure> {
    let DevArguments { nodes, data, base_port, uncertainty, overrides } = arguments;
    let text =
        template(TemplateOptions { node, nodes: *nodes, base_port: *base_port }).map_err(Failure::usage)?;
    let path = |folder: &Path| folder.display().to_string();
    let mut all = vec![
        "cluster.id=dev".to_owned(),
        format!("node.data_dir={}", path(&data.join(format!("node-{node}")))),
        format!("node.certs_dir={}", path(&data.join("certs"))),
        "clock.source=declared".to_owned(),
        format!("clock.uncertainty={uncertainty}"),
    ];
    all.extend(overrides.iter().cloned());
    let file = Some(ConfigFile { name: "dev".into(), text });
    let sources = Sources { file, environment: environment(), overrides: all };
    load(&sources).map(|resolved| resolved.settings).map_err(|problems| refused(&problems))
}

fn next_steps(arguments: &DevArguments) -> String {
    let endpoint = match arguments.base_port {
        7400 => String::new(),
        port => format!(" --endpoint 127.0.0.1:{port}"),
    };
    let certs = match &arguments.data {
        data if data == Path::new("data") => String::new(),
        data => format!(" --certs {}", data.join("certs").display()),
    };
    let flags = endpoint + &certs;
    format!(
        "The clock's bound is declared, not measured: right for trying, not for production.\n\
         In another terminal:\n  \
         timberline topic create flights --shards 4{flags}\n  \
         timberline produce flights --file FILE.ndjson{flags}\n  \
         timberline consume flights --from begin{flags}\n\
         Ctrl-C stops the cluster; its data stays in {}.",
        arguments.data.display()
    )
}
