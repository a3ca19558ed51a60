//! What clients are told of the time, as a node's session tells it.

use timberline::lane::Event;
use timberline::types::NodeId;

use super::World;
use super::agenda::{ClientEvent, Happening, TimeQuestion};

impl World {
    /// A client's question for the time sets out for a node.
    pub(crate) fn ask_time(&mut self, client: u64, node: NodeId, by_majority: bool) {
        let delay_ns = self.way_ns();
        let life = self.nodes[&node].life;
        self.after(delay_ns, Happening::AskTime(TimeQuestion { node, life, client, by_majority }));
    }

    /// The question is there: what a running node says sets out for the client.
    pub(super) fn tell_time(&mut self, question: TimeQuestion) {
        let TimeQuestion { node: id, life, client, by_majority } = question;
        let now_ns = self.now_ns;
        let node = self.node(id);
        if node.life != life || node.lane.is_none() {
            return;
        }
        if node.is_paused(now_ns) {
            let at_ns = node.paused_until_ns;
            self.agenda.put(at_ns, Happening::AskTime(question));
            return;
        }
        let reading = node.clock.read(now_ns);
        let Some(lane) = node.lane.as_mut() else { return };
        // The others' clocks are to have judged this very reading.
        lane.handle(Event::Timer, &reading);
        let told = lane.moment(&reading).vouched(by_majority);
        let delay_ns = self.way_ns();
        self.trace.tell(now_ns, || format!("node {id} tells client {client} the time: {told:?}"));
        self.after(delay_ns, Happening::Client(ClientEvent::Time { client, told }));
    }

    /// How long something is on its way between a client and a node.
    fn way_ns(&mut self) -> u64 {
        self.plan.link_ns / 2 + self.random.below(self.plan.link_ns)
    }
}
