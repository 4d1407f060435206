import com.sun.management.ThreadMXBean;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.StringJoiner;
import java.util.function.Supplier;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.coordinator.group.api.assignor.GroupAssignment;
import org.apache.kafka.coordinator.group.api.assignor.MemberAssignment;
import org.apache.kafka.coordinator.group.api.assignor.SubscribedTopicDescriber;
import org.apache.kafka.coordinator.group.api.assignor.SubscriptionType;
import org.apache.kafka.coordinator.group.assignor.UniformAssignor;
import org.apache.kafka.coordinator.group.modern.Assignment;
import org.apache.kafka.coordinator.group.modern.GroupSpecImpl;
import org.apache.kafka.coordinator.group.modern.MemberSubscriptionAndAssignmentImpl;

/**
 * Times Kafka's UniformAssignor on groups that standard input describes, and answers one JSON line an event.
 *
 * <pre>
 * RUNS 10
 * WARM_UP_MS 3000
 * TOPICS 50000 20000          partitions of topic 0, 1, …
 * MEMBER name 0 1             a member and the topics that it subscribes to; members are numbered as they come
 * EVENT LEAVE_ONE             from here on: changes against the above, each event by itself
 * GONE name
 * MEMBER name 0
 * TOPICS 50500 20200
 * </pre>
 *
 * Only assign() is timed. What the coordinator keeps in memory is built before: subscriptions, each member's
 * assignment as hash sets, and the inverse map without the members that are gone.
 */
public final class Peer {
    private static volatile Object result;

    public static void main(String[] arguments) throws IOException {
        Group base = new Group();
        Map<String, Group> events = new LinkedHashMap<>();
        int runs = 10;
        long warmUpMs = 3000;
        Group group = base;
        try (var in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8))) {
            for (String line; (line = in.readLine()) != null; ) {
                String[] words = line.split(" ");
                int[] numbers = Arrays.stream(words).skip(words[0].equals("MEMBER") ? 2 : 1)
                    .filter(word -> word.matches("\\d+")).mapToInt(Integer::parseInt).toArray();
                switch (words[0]) {
                    case "RUNS" -> runs = numbers[0];
                    case "WARM_UP_MS" -> warmUpMs = numbers[0];
                    case "TOPICS" -> group.partitions = numbers;
                    case "MEMBER" -> group.join(words[1], numbers);
                    case "GONE" -> group.subscriptions.remove(words[1]);
                    case "EVENT" -> events.put(words[1], group = new Group(base));
                    default -> throw new IllegalArgumentException(line);
                }
            }
        }
        GroupAssignment full = base.call(null).get();
        for (var event : events.entrySet()) {
            boolean first = event.getKey().equals("FULL");
            System.out.println(measure(event.getKey(), event.getValue(), first ? null : full, runs, warmUpMs));
        }
    }

    private static String measure(String name, Group group, GroupAssignment before, int runs, long warmUpMs) {
        Supplier<GroupAssignment> call = group.call(before);
        long started = System.nanoTime();
        for (int i = 0; i < 20 || System.nanoTime() - started < warmUpMs * 1_000_000; i++) {
            result = call.get();
        }
        result = null;
        System.gc();
        StringJoiner times = new StringJoiner(",", "[", "]");
        for (int i = 0; i < runs; i++) {
            long began = System.nanoTime();
            result = call.get();
            times.add(String.format(Locale.ROOT, "%.4f", (System.nanoTime() - began) / 1e6));
        }
        var threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        long allocated = threads.getCurrentThreadAllocatedBytes();
        GroupAssignment after = call.get();
        allocated = threads.getCurrentThreadAllocatedBytes() - allocated;
        return String.format(Locale.ROOT, "{\"event\":\"%s\",\"ms\":%s,\"allocated\":%d,\"owners\":%s}",
            name, times, allocated, group.owners(after));
    }

    /** Topics, members and their subscriptions; members that are gone keep their number. */
    private static final class Group {
        private final UniformAssignor assignor = new UniformAssignor();
        private final Map<List<Integer>, Set<Uuid>> topicSets;
        private final Map<String, Integer> numbers;
        private final Map<String, Set<Uuid>> subscriptions;
        private int[] partitions = {};

        Group() {
            topicSets = new HashMap<>();
            numbers = new HashMap<>();
            subscriptions = new LinkedHashMap<>();
        }

        Group(Group other) {
            topicSets = new HashMap<>(other.topicSets);
            numbers = new HashMap<>(other.numbers);
            subscriptions = new LinkedHashMap<>(other.subscriptions);
            partitions = other.partitions;
        }

        void join(String name, int[] topics) {
            List<Integer> key = Arrays.stream(topics).boxed().toList();
            numbers.put(name, numbers.size());
            subscriptions.put(name, topicSets.computeIfAbsent(key, each -> {
                Set<Uuid> ids = new HashSet<>();
                each.forEach(topic -> ids.add(id(topic)));
                return ids;
            }));
        }

        /** The assignor's call, everything that it is given ready in memory. */
        Supplier<GroupAssignment> call(GroupAssignment before) {
            Map<String, MemberSubscriptionAndAssignmentImpl> members = new HashMap<>();
            Map<Uuid, Map<Integer, String>> inverse = new HashMap<>();
            subscriptions.forEach((name, topics) -> {
                MemberAssignment had = before == null ? null : before.members().get(name);
                Map<Uuid, Set<Integer>> owned = new HashMap<>();
                if (had != null) {
                    had.partitions().forEach((topic, set) -> {
                        owned.put(topic, new HashSet<>(new ArrayList<>(set)));
                        set.forEach(each -> inverse.computeIfAbsent(topic, t -> new HashMap<>()).put(each, name));
                    });
                }
                members.put(name, new MemberSubscriptionAndAssignmentImpl(
                    Optional.empty(), Optional.empty(), topics, new Assignment(owned)));
            });
            boolean alike = new HashSet<>(subscriptions.values()).size() == 1;
            var type = alike ? SubscriptionType.HOMOGENEOUS : SubscriptionType.HETEROGENEOUS;
            var spec = new GroupSpecImpl(members, type, inverse);
            var topics = new Topics(partitions);
            return () -> assignor.assign(spec, topics);
        }

        /** By topic and partition, the number of the member that owns it, or -1. */
        String owners(GroupAssignment assignment) {
            int[][] owners = new int[partitions.length][];
            Map<Uuid, int[]> byId = new HashMap<>();
            for (int topic = 0; topic < partitions.length; topic++) {
                owners[topic] = new int[partitions[topic]];
                Arrays.fill(owners[topic], -1);
                byId.put(id(topic), owners[topic]);
            }
            assignment.members().forEach((name, member) -> member.partitions().forEach((topic, set) ->
                set.forEach(partition -> {
                    if (byId.get(topic)[partition] != -1) {
                        throw new IllegalStateException("a partition with two owners");
                    }
                    byId.get(topic)[partition] = numbers.get(name);
                })));
            return Arrays.deepToString(owners);
        }
    }

    private static Uuid id(int topic) {
        return new Uuid(0x5eed, topic + 1);
    }

    /** How many partitions each topic has; no racks. */
    private static final class Topics implements SubscribedTopicDescriber {
        private final Map<Uuid, Integer> counts = new HashMap<>();

        Topics(int[] partitions) {
            for (int topic = 0; topic < partitions.length; topic++) {
                counts.put(id(topic), partitions[topic]);
            }
        }

        @Override
        public int numPartitions(Uuid topic) {
            return counts.getOrDefault(topic, -1);
        }

        @Override
        public Set<String> racksForPartition(Uuid topic, int partition) {
            return Set.of();
        }
    }
}
