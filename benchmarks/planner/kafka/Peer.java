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
import org.apache.kafka.common.metadata.PartitionRecord;
import org.apache.kafka.common.metadata.TopicRecord;
import org.apache.kafka.common.utils.internals.LogContext;
import org.apache.kafka.coordinator.common.runtime.CoordinatorMetadataImage;
import org.apache.kafka.coordinator.common.runtime.KRaftCoordinatorMetadataImage;
import org.apache.kafka.coordinator.group.api.assignor.GroupAssignment;
import org.apache.kafka.coordinator.group.api.assignor.MemberAssignment;
import org.apache.kafka.coordinator.group.api.assignor.SubscriptionType;
import org.apache.kafka.coordinator.group.assignor.UniformAssignor;
import org.apache.kafka.coordinator.group.modern.Assignment;
import org.apache.kafka.coordinator.group.modern.GroupSpecImpl;
import org.apache.kafka.coordinator.group.modern.MemberSubscriptionAndAssignmentImpl;
import org.apache.kafka.coordinator.group.modern.SubscribedTopicDescriberImpl;
import org.apache.kafka.coordinator.group.modern.TopicIds;
import org.apache.kafka.image.MetadataDelta;
import org.apache.kafka.image.MetadataImage;
import org.apache.kafka.image.MetadataProvenance;
import org.apache.kafka.timeline.SnapshotRegistry;
import org.apache.kafka.timeline.TimelineHashMap;

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
 * assignment, its inverse without the members that are gone, and the image of the topics, in its own classes.
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
        var threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        StringJoiner times = new StringJoiner(",", "[", "]");
        StringJoiner cpuTimes = new StringJoiner(",", "[", "]");
        for (int i = 0; i < runs; i++) {
            long cpuBegan = threads.getCurrentThreadCpuTime();
            long began = System.nanoTime();
            result = call.get();
            long ended = System.nanoTime();
            long cpuEnded = threads.getCurrentThreadCpuTime();
            times.add(String.format(Locale.ROOT, "%.4f", (ended - began) / 1e6));
            cpuTimes.add(String.format(Locale.ROOT, "%.4f", (cpuEnded - cpuBegan) / 1e6));
        }
        long allocated = threads.getCurrentThreadAllocatedBytes();
        GroupAssignment after = call.get();
        allocated = threads.getCurrentThreadAllocatedBytes() - allocated;
        return String.format(Locale.ROOT, "{\"event\":\"%s\",\"ms\":%s,\"cpu_ms\":%s,\"allocated\":%d,\"owners\":%s}",
            name, times, cpuTimes, allocated, group.owners(after));
    }

    /** Topics, members and their subscriptions; members that are gone keep their number. */
    private static final class Group {
        private final UniformAssignor assignor = new UniformAssignor();
        private final Map<List<Integer>, Set<String>> topicSets;
        private final Map<String, Integer> numbers;
        private final Map<String, Set<String>> subscriptions;
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
                Set<String> names = new HashSet<>();
                each.forEach(topic -> names.add("class-" + topic));
                return names;
            }));
        }

        /** The assignor's call, everything that it is given ready in memory. */
        Supplier<GroupAssignment> call(GroupAssignment before) {
            Map<String, MemberSubscriptionAndAssignmentImpl> members = new HashMap<>();
            Map<Uuid, Map<Integer, String>> inverse = new HashMap<>();
            var registry = new SnapshotRegistry(new LogContext());
            var image = image();
            var resolver = new TopicIds.CachedTopicResolver(image);
            subscriptions.forEach((name, topics) -> {
                MemberAssignment had = before == null ? null : before.members().get(name);
                Map<Uuid, Set<Integer>> owned = new HashMap<>();
                if (had != null) {
                    had.partitions().forEach((topic, set) -> {
                        owned.put(topic, new HashSet<>(new ArrayList<>(set)));
                        set.forEach(each -> inverse.computeIfAbsent(topic, t -> new TimelineHashMap<>(registry, 0)).put(each, name));
                    });
                }
                members.put(name, new MemberSubscriptionAndAssignmentImpl(
                    Optional.empty(), Optional.empty(), new TopicIds(topics, resolver), new Assignment(owned)));
            });
            boolean alike = new HashSet<>(subscriptions.values()).size() == 1;
            var type = alike ? SubscriptionType.HOMOGENEOUS : SubscriptionType.HETEROGENEOUS;
            var spec = new GroupSpecImpl(members, type, inverse);
            var topics = new SubscribedTopicDescriberImpl(image);
            return () -> assignor.assign(spec, topics);
        }

        private CoordinatorMetadataImage image() {
            var delta = new MetadataDelta.Builder().setImage(MetadataImage.EMPTY).build();
            for (int topic = 0; topic < partitions.length; topic++) {
                delta.replay(new TopicRecord().setTopicId(id(topic)).setName("class-" + topic));
                for (int partition = 0; partition < partitions[topic]; partition++) {
                    delta.replay(new PartitionRecord()
                        .setTopicId(id(topic)).setPartitionId(partition).setReplicas(List.of(0)));
                }
            }
            return new KRaftCoordinatorMetadataImage(delta.apply(MetadataProvenance.EMPTY));
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
}
