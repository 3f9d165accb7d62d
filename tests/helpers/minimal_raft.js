// A minimal Raft in JavaScript, one process a member: lines of JSON on stdin and stdout.
// The lines are described in notebooks/book/own_raft.md.  With an argument it has a bug.

const bug = process.argv[2] || '';
let me, others, majority, options, random;
let role = 'follower', term = 0, vote = null, commit = 0;
let log = [];                       // log[n] is the entry with index n + 1
let votes, next, match, elapsed, limit;
let entries = [], messages = [];    // what this answer wants saved and sent

const lastTerm = () => (log.length ? log[log.length - 1].term : 0);
const termAt = (index) => (index ? log[index - 1].term : 0);
const restart = () => { elapsed = 0; limit = options.election_ticks + Math.floor(random() * options.spread_ticks); };

function generator(seed) {          // the same seed gives the same timeouts
  return () => { seed = (seed * 1103515245 + 12345) % 2147483648; return seed / 2147483648; };
}

function start(line) {
  me = line.member;
  others = line.members.filter((name) => name !== me);
  majority = Math.floor(line.members.length / 2) + 1;
  options = line;
  random = generator(line.seed);
  [term, vote, log] = [line.term, line.vote, line.log];
  restart();
}

function follow(newer) { role = 'follower'; term = newer; vote = null; restart(); }

function tick() {
  elapsed += 1;
  if (role === 'leader' && elapsed >= options.heartbeat_ticks) { elapsed = 0; others.forEach(send); }
  else if (role !== 'leader' && elapsed >= limit) stand();
}

function stand() {
  role = 'candidate'; term += 1; vote = me; votes = new Set([me]);
  restart();
  for (const to of others) {
    messages.push({ type: 'RequestVote', from: me, to, term, last_index: log.length, last_term: lastTerm() });
  }
}

function lead() {
  role = 'leader'; elapsed = 0; next = {}; match = {};
  for (const name of others) { next[name] = log.length + 1; match[name] = 0; }
  append(null);
  others.forEach(send);
}

function append(data) {
  const entry = { index: log.length + 1, term, data };
  log.push(entry); entries.push(entry);
}

function send(to) {
  const prev = next[to] - 1;
  messages.push({ type: 'AppendEntries', from: me, to, term, prev_index: prev, prev_term: termAt(prev),
    entries: log.slice(prev, prev + 1), commit });
}

const handlers = {
  RequestVote(ask) {
    const current = ask.last_term > lastTerm() || (ask.last_term === lastTerm() && ask.last_index >= log.length);
    const free = vote === null || vote === ask.from || bug === 'votes twice';
    const granted = ask.term === term && free && (current || bug === 'any log');
    if (granted) { vote = ask.from; restart(); }
    messages.push({ type: 'RequestVoteReply', from: me, to: ask.from, term, granted });
  },
  RequestVoteReply(reply) {
    if (role !== 'candidate' || reply.term !== term || !reply.granted) return;
    votes.add(reply.from);
    if (votes.size >= majority) lead();
  },
  AppendEntries(message) {
    const prev = message.prev_index;
    let success = false;
    if (message.term === term) {
      role = 'follower'; restart();
      success = prev <= log.length && termAt(prev) === message.prev_term;
    }
    if (success) {
      for (const entry of message.entries) {
        if (entry.index <= log.length && termAt(entry.index) === entry.term) continue;
        log.length = entry.index - 1;
        log.push(entry); entries.push(entry);
      }
      commit = Math.max(commit, Math.min(message.commit, prev + message.entries.length));
    }
    messages.push({ type: 'AppendEntriesReply', from: me, to: message.from, term, success, prev_index: prev,
      match: success ? prev + message.entries.length : 0 });
  },
  AppendEntriesReply(reply) {
    const name = reply.from;
    if (role !== 'leader' || reply.term !== term) return;
    if (reply.success && reply.match >= next[name] - 1) {
      match[name] = reply.match; next[name] = reply.match + 1;
      const held = [...Object.values(match), log.length].sort((a, b) => b - a)[majority - 1];
      if (held > commit && termAt(held) === term) commit = held;
      if (reply.match < log.length) send(name);
    } else if (!reply.success && reply.prev_index + 1 === next[name]) {
      next[name] = Math.max(match[name] + 1, next[name] - 1);
      send(name);
    }
  },
};

function take(line) {
  if (line.type === 'start') start(line);
  else if (line.type === 'tick') tick();
  else if (line.type === 'propose') { append(line.data); others.forEach(send); }
  else {
    if (line.message.term > term) follow(line.message.term);
    handlers[line.message.type](line.message);
  }
  if (bug === 'hangs' && role === 'leader') for (;;);
  if (bug === 'dies' && role === 'leader') { console.error('no more'); process.exit(3); }
  if (bug === 'babbles' && role === 'leader') { console.log('I lead!'); return; }
  console.log(JSON.stringify({ role, term, vote, commit, entries, messages }));
  entries = []; messages = [];
}

require('readline').createInterface({ input: process.stdin }).on('line', (line) => take(JSON.parse(line)));
