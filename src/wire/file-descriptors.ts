// The protobuf files behind a service, as gRPC server reflection hands them to tools like grpcurl.

import type { DescFile, DescService } from '@bufbuild/protobuf';
import { toBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';

/** Each an encoded FileDescriptorProto: the file of the service and all that it imports, once. */
export function fileDescriptorsOf(service: DescService): Uint8Array[] {
  const files = new Set<DescFile>();
  collect(service.file, files);
  return [...files].map((file) => toBinary(FileDescriptorProtoSchema, file.proto));
}

function collect(file: DescFile, files: Set<DescFile>): void {
  if (files.has(file)) return;
  files.add(file);
  for (const dependency of file.dependencies) collect(dependency, files);
}
