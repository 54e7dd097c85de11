package freshet.flink;

import java.io.ByteArrayOutputStream;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import org.apache.flink.types.Row;

/** Framed messages by bucket, until they leave: in order, as one blob a bucket. */
public final class Groups {
    private static final byte[] WRITE_STATES = {};

    private final int mostMessages;
    private final int mostBytes;
    private final ByteArrayOutputStream[] groups;
    private final BitSet filled = new BitSet();
    private final BitSet touched = new BitSet();
    private int messages;
    private long bytes;

    public Groups(int buckets, int mostMessages, int mostBytes) {
        this.mostMessages = mostMessages;
        this.mostBytes = mostBytes;
        groups = new ByteArrayOutputStream[buckets];
        for (int bucket = 0; bucket < buckets; bucket++) {
            groups[bucket] = new ByteArrayOutputStream();
        }
    }

    /** Takes a message; says whether there is enough now to leave. */
    public boolean add(int bucket, byte[] message) {
        groups[bucket].write(message, 0, message.length);
        filled.set(bucket);
        messages += 1;
        bytes += message.length;
        return messages >= mostMessages || bytes >= mostBytes;
    }

    /** Everything that was taken, a row of bucket and blob for each bucket with messages. */
    public List<Row> take() {
        List<Row> taken = new ArrayList<>(filled.cardinality());
        filled.stream().forEach(bucket -> taken.add(Row.of(bucket, taken(bucket))));
        touched.or(filled);
        filled.clear();
        messages = 0;
        bytes = 0;
        return taken;
    }

    /** An empty blob for each bucket that had messages since this was asked for last. */
    public List<Row> markers() {
        List<Row> markers = new ArrayList<>(touched.cardinality());
        touched.stream().forEach(bucket -> markers.add(Row.of(bucket, WRITE_STATES)));
        touched.clear();
        return markers;
    }

    /** The buffer is kept for the next group, unless one of large messages made it large. */
    private byte[] taken(int bucket) {
        byte[] group = groups[bucket].toByteArray();
        if (group.length > mostBytes / 8) {
            groups[bucket] = new ByteArrayOutputStream();
        } else {
            groups[bucket].reset();
        }
        return group;
    }
}
