//! One membership: joins, is heard, and keeps what the coordinator said last.
//!
//! Invariant: a membership that ended stays so; whoever wants to go on joins anew, under another number.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::coordinator::{Coordinator, Whose, ensure_groups_topic};
use super::options::GroupOptions;
use super::standing::Standing;
use crate::client::core::{Core, unexpected};
use crate::client::error::Error;
use crate::types::{GroupName, MemberId, NodeId, TopicName};
use crate::wire::{ErrorCode, GroupBeatBody, RequestBody, ResponseBody};

/// What is known of a membership.
pub(super) type Known = Result<Arc<Standing>, Error>;

/// A membership; dropping it falls silent.
pub(super) struct Member {
    speaker: Arc<Speaker>,
    known: watch::Receiver<Known>,
    #[expect(dead_code, reason = "held for its drop")]
    beats: JoinSet<()>,
}

/// Who speaks for a membership, from wherever.
struct Speaker {
    coordinator: Coordinator,
    group: GroupName,
    member: MemberId,
    session_timeout: Duration,
    known: watch::Sender<Known>,
}

impl Member {
    /// Joins, and is heard from then on.
    pub(super) async fn join(
        core: &Arc<Core>,
        group: &GroupName,
        topics: &[TopicName],
        options: &GroupOptions,
    ) -> Result<Self, Error> {
        ensure_groups_topic(core).await?;
        let from = options.from.first(core).await?;
        let timeout_ms = u32::try_from(options.session_timeout.as_millis()).unwrap_or(u32::MAX);
        let body = GroupBeatBody {
            topics: topics.iter().map(TopicName::to_string).collect(),
            from_ns: from.0,
            session_timeout_ms: timeout_ms,
            name: options.name.clone(),
            ..GroupBeatBody::default()
        };
        let member = MemberId(rand::random_range(1..=u64::MAX));
        let coordinator = Coordinator::new(Arc::clone(core), Whose::Group(group.clone()));
        // Until the answer to the join.
        let (known, receiver) = watch::channel(Err(Error::Closed));
        let speaker = Speaker {
            coordinator,
            group: group.clone(),
            member,
            session_timeout: options.session_timeout,
            known,
        };
        let standing = speaker.ask(body, options.timeout).await?;
        speaker.know(Ok(Arc::new(standing)));
        let speaker = Arc::new(speaker);
        let mut beats = JoinSet::new();
        beats.spawn(beat(Arc::clone(&speaker)));
        Ok(Self { speaker, known: receiver, beats })
    }

    /// What is known by now, or why the membership ended.
    pub(super) fn known(&mut self) -> Known {
        self.known.borrow_and_update().clone()
    }

    /// Waits until something else is known than `known` told, or a standing is confirmed.
    pub(super) async fn changed(&mut self) {
        // The beats hold the other end as long as this lives.
        let _ = self.known.changed().await;
    }

    /// Says something that is to be logged.
    pub(super) async fn say(&self, body: GroupBeatBody, within: Duration) -> Result<(), Error> {
        self.speaker.say(body, within).await
    }
}

/// Speaks as often as it has to, until the membership ends.
async fn beat(speaker: Arc<Speaker>) {
    loop {
        let every = match &*speaker.known.borrow() {
            Ok(standing) => standing.beat_every,
            Err(_) => return,
        };
        sleep(every).await;
        let generation = match &*speaker.known.borrow() {
            Ok(standing) => standing.generation,
            Err(_) => return,
        };
        let body = GroupBeatBody { generation, ..GroupBeatBody::default() };
        // A coordinator that is not found now may be by the next time; what was confirmed ends by itself.
        let _ = speaker.say(body, speaker.session_timeout).await;
    }
}

impl Speaker {
    async fn say(&self, body: GroupBeatBody, within: Duration) -> Result<(), Error> {
        let leaves = body.leaves;
        let answer = self.ask(body, within).await;
        match &answer {
            Ok(standing) if !leaves => {
                self.known.send_modify(|known| {
                    if let Ok(known) = known {
                        Arc::make_mut(known).learn(standing.clone());
                    }
                });
            }
            Err(error) if is_final(error) => {
                self.know(Err(error.clone()));
            }
            _ => {}
        }
        answer.map(drop)
    }

    fn know(&self, known: Known) {
        self.known.send_modify(|before| *before = known);
    }

    async fn ask(&self, body: GroupBeatBody, within: Duration) -> Result<Standing, Error> {
        let group = self.group.to_string();
        let body = RequestBody::GroupBeat(GroupBeatBody { group, member: self.member.0, ..body });
        let sent = Instant::now();
        let ResponseBody::GroupStanding(body) = self.coordinator.ask(body, within).await? else {
            return Err(unexpected(NodeId(0), "GroupStanding"));
        };
        Standing::of(&body, sent, self.session_timeout)
            .ok_or_else(|| unexpected(NodeId(0), "GroupStanding of topics"))
    }
}

fn is_final(error: &Error) -> bool {
    matches!(error.code(), Some(ErrorCode::StaleMember | ErrorCode::UnknownGroup))
}
