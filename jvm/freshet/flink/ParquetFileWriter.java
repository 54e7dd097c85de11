package freshet.flink;

import java.io.IOException;
import org.apache.flink.api.common.serialization.BulkWriter;
import org.apache.flink.core.fs.FSDataOutputStream;
import org.apache.flink.types.Row;

/** Writes the file that Python has made; ParquetRolling gives it each file to itself. */
final class ParquetFileWriter implements BulkWriter<Row> {
    private final FSDataOutputStream out;

    private ParquetFileWriter(FSDataOutputStream out) {
        this.out = out;
    }

    @Override
    public void addElement(Row file) throws IOException {
        out.write((byte[]) file.getField(1));
    }

    @Override
    public void flush() throws IOException {
        out.flush();
    }

    @Override
    public void finish() throws IOException {
        out.flush();
        out.sync();
    }

    static final class Factory implements BulkWriter.Factory<Row> {
        private static final long serialVersionUID = 1L;

        @Override
        public BulkWriter<Row> create(FSDataOutputStream out) {
            return new ParquetFileWriter(out);
        }
    }
}
